// Requests to the endpoint that no client sends: cut, flipped, with lines gone, doubled and too long, with numbers that
// are none. Each ends with a refusal or a closed connection, soon; whoever asks next gets what he asked for.
#include <fmt/core.h>

#include <array>
#include <cstdlib>
#include <map>
#include <random>

#include "tests/drills/drill.h"

namespace hitfs::testing {

namespace {

constexpr int kShortForm = 2'000;
constexpr int kLongForm = 200'000;
constexpr unsigned kSeed = 5;

int wanted_requests() {
  if (const char* count = std::getenv("HITFS_DRILL_REQUESTS")) return std::max(1, std::atoi(count));
  const char* long_form = std::getenv("HITFS_DRILL_LONG");
  return long_form != nullptr && std::string(long_form) == "1" ? kLongForm : kShortForm;
}

// Makes damaged requests out of good ones.
class Damage {
 public:
  explicit Damage(std::string authorization) : authorization_(std::move(authorization)) {}

  std::string request(int number) {
    if (below(40) == 0) return noise(1 + below(3000), static_cast<unsigned>(random_()));
    auto request = good(number);
    for (size_t times = 1 + below(3); times > 0; --times) damage(request);
    return request;
  }

 private:
  size_t below(size_t end) { return random_() % end; }
  size_t place(const std::string& in) { return below(in.size() + 1); }

  std::string good(int number) {
    auto head = [&](const char* method, int name) {
      return fmt::format("{} /v1/cache/{} HTTP/1.1\r\nHost: 127.0.0.1\r\n{}", method, nx_name(name), authorization_);
    };
    auto body = opaque_artifact(100 + below(2000), static_cast<unsigned>(number));
    switch (below(6)) {
      case 0: return head("HEAD", 1) + "\r\n";
      case 1: return "GET /health HTTP/1.1\r\nHost: localhost\r\nUser-Agent: drill\r\nAccept: */*\r\n\r\n";
      case 2: return head("PUT", number) + fmt::format("Content-Length: {}\r\n\r\n", body.size()) + body;
      case 3:
        return head("PUT", number) + "Transfer-Encoding: chunked\r\n\r\n" +
               fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", body.size(), body);
      default: return head("GET", 1) + "Accept: */*\r\nConnection: keep-alive\r\n\r\n";
    }
  }

  void damage(std::string& request) {
    switch (below(10)) {
      case 0: request.resize(place(request)); break;
      case 1:
      case 2: flip(request); break;
      case 3: request.insert(place(request), noise(1 + below(9), static_cast<unsigned>(random_()))); break;
      case 4: request.erase(place(request), 1 + below(30)); break;
      case 5: replace_a_line(request); break;
      case 6: replace_a_number(request); break;
      case 7: request.insert(place(request), 1 + below(5), "\0\n\r :"[below(5)]); break;
      case 8: request.insert(after_a_line(request), "X-Long: " + std::string(below(70'000), 'l') + "\r\n"); break;
      default: insert_a_line(request);
    }
  }

  void flip(std::string& request) {
    if (request.empty()) return;
    auto& byte = request[below(request.size())];
    byte = static_cast<char>(byte ^ (1 << below(8)));
  }
  size_t after_a_line(const std::string& request) {
    auto end = request.find("\r\n", place(request));
    return end == std::string::npos ? request.size() : end + 2;
  }
  void replace_a_line(std::string& request) {
    auto begin = after_a_line(request);
    auto end = std::min(request.find("\r\n", begin), request.size());
    auto line = request.substr(begin, end - begin);
    request.replace(begin, end - begin, below(2) == 0 ? "" : line + "\r\n" + line);
  }
  void replace_a_number(std::string& request) {
    static constexpr std::array kNumbers{
        "0",   "-1", "18446744073709551616", "9223372036854775807", "0x10", "1e3", "00", "+5", "4294967296", " 7 ",
        "1,2", ""};
    auto begin = request.find_first_of("0123456789", place(request));
    if (begin == std::string::npos) return;
    auto end = std::min(request.find_first_not_of("0123456789", begin), request.size());
    request.replace(begin, end - begin, kNumbers[below(kNumbers.size())]);
  }
  void insert_a_line(std::string& request) {
    static constexpr std::array kLines{"Content-Length: 5\r\n",
                                       "Transfer-Encoding: chunked\r\n",
                                       "Transfer-Encoding: gzip, chunked\r\n",
                                       "Host: evil.example\r\n",
                                       "Authorization: Basic eA==\r\n",
                                       "Expect: 100-continue\r\n",
                                       "Expect: the-impossible\r\n",
                                       "Connection: close\r\n",
                                       "Range: bytes=5-1\r\n",
                                       " folded: line\r\n",
                                       ": no name\r\n",
                                       "no colon\r\n",
                                       "\r\n",
                                       "GET / HTTP/1.1\r\n\r\n"};
    request.insert(after_a_line(request), kLines[below(kLines.size())]);
  }

  std::string authorization_;
  std::mt19937_64 random_{kSeed};
};

}  // namespace

class DamagedHttpTest : public Drill {
 protected:
  // Sends the request and no more; what came back, up to the end of the connection.
  void send(const std::string& bytes) {
    RawConnection connection(port());
    connection.send(bytes);
    connection.end_sending();
    auto said = connection.read_to_end();
    ASSERT_TRUE(said) << "no end within 30 s";
    int status = said->starts_with("HTTP/1.") && said->size() > 12 ? std::atoi(said->c_str() + 9) : 0;
    ++answers_[status / 100];
    ASSERT_TRUE(said->empty() || (status >= 100 && status < 500) || status == 501 || status == 505)
        << said->substr(0, 200);
    // The entry that is asked for, whole, or nothing of it.
    if (status == 200 && bytes.starts_with("GET /v1/cache/" + nx_name(1) + " HTTP")) expect_artifact(*said);
  }
  void expect_artifact(const std::string& said) const {
    auto body = said.find("\r\n\r\n");
    ASSERT_NE(body, std::string::npos);
    auto rest = said.substr(body + 4);
    EXPECT_TRUE(rest.starts_with(artifact_)) << rest.size() << " bytes";
  }
  void expect_good(int number) {
    ASSERT_EQ(get(nx_name(1)).body, artifact_);
    if (number % 20 != 0) return;
    ASSERT_EQ(get(nx_name(2)).status, 404);
    auto bytes = opaque_artifact(3000, static_cast<unsigned>(number));
    ASSERT_EQ(put(nx_name(1'000'000 + number), bytes).status, 200);
    ASSERT_EQ(get(nx_name(1'000'000 + number)).body, bytes);
  }

  std::string artifact_ = nx_artifact();
  std::map<int, int> answers_;  // by the first digit of the status; 0 for none
};

TEST_F(DamagedHttpTest, IsRefusedAndDisturbsNobody) {
  start();
  ASSERT_FALSE(HasFailure());
  ASSERT_EQ(put(nx_name(1), artifact_).status, 200);
  auto listener = listener_pid(), daemon = daemon_pid();
  Damage damage(authorization());
  const int wanted = wanted_requests();
  for (int number = 1; number <= wanted; ++number) {
    auto bytes = damage.request(100 + number);
    send(bytes);
    if (!HasFatalFailure()) expect_good(number);
    ASSERT_FALSE(HasFailure()) << "after request " << number << ": " << ::testing::PrintToString(bytes.substr(0, 500));
  }
  std::printf("[ drill    ] damaged HTTP requests: %d; answered 4xx %d, 5xx %d, 2xx %d, closed %d\n", wanted,
              answers_[4], answers_[5], answers_[2], answers_[0]);
  EXPECT_GT(answers_[4], wanted / 4);
  EXPECT_GT(answers_[0], 0);
  EXPECT_GT(answers_[2], 0) << "some are good still";
  EXPECT_EQ(listener_pid(), listener);
  EXPECT_EQ(daemon_pid(), daemon);
}

}  // namespace hitfs::testing
