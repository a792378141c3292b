#include "sync/listener/listener.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "store/base/io.h"
#include "store/entry_store.h"
#include "sync/listener/token_file.h"
#include "tests/support/process.h"
#include "tests/support/raw_http.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"
#include "tests/support/toy_daemon.h"

// The listener as a process of its own, with a real store.
namespace hitfs {
namespace {

using testing::RawConnection;

constexpr const char* kBearer = "Authorization: Bearer s3cret\r\n";
constexpr int kReadyTimeoutMs = 20'000;

// A child that runs run_listener(); killed and reaped with its owner. It is forked without exec, so make it before the
// test has threads (a daemon).
class ListenerProcess {
 public:
  ListenerProcess(const ListenerOptions& options, int socket) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ready[0]);
      ::_exit(run_listener(options, {socket}, ready[1]));
    }
    ::close(ready[1]);
    UniqueFd from_child(ready[0]);
    pollfd waiting{from_child.get(), POLLIN, 0};
    char byte = 0;
    ready_ = ::poll(&waiting, 1, kReadyTimeoutMs) > 0 && ::read(from_child.get(), &byte, 1) == 1;
  }
  ~ListenerProcess() {
    if (pid_ > 0) end(SIGKILL);
  }
  ListenerProcess(const ListenerProcess&) = delete;
  ListenerProcess& operator=(const ListenerProcess&) = delete;

  [[nodiscard]] bool ready() const { return ready_; }
  // Exit code, or 128 + signal.
  int end(int signal) {
    if (signal != 0) ::kill(pid_, signal);
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  bool ready_ = false;
};

class ListenerTest : public ::testing::Test {
 protected:
  ListenerTest() {
    options_.store.root = dir_ / "store";
    options_.loopback_token = "s3cret";
    options_.address = "127.0.0.1:" + std::to_string(socket_.port);
    options_.daemon_patience = Milliseconds(100);
  }

  // Makes the store, with one artifact in it.
  void make_store(const std::string& artifact) {
    auto store = EntryStore::open(options_.store, {}).value();
    auto intake = store->begin();
    ManifestHeader header;
    header.key = {"", "nx", "123"};
    header.kind = EntryKind::artifact;
    header.artifact = intake->add_blob(io::as_bytes(artifact)).value();
    ASSERT_TRUE(intake->commit_artifact(header, {.durable = true, .push_to = {}}));
  }
  testing::RawReply get(const std::string& target) { return testing::request(socket_.port, "GET", target, kBearer); }

  testing::TempDir dir_;
  testing::ListeningSocket socket_ = testing::listen_on_loopback();
  ListenerOptions options_;
};

TEST_F(ListenerTest, ServesTheStoreWithoutADaemonAndEndsOrderly) {
  make_store("the artifact");
  std::filesystem::create_directories(options_.store.staging("endpoint"));
  std::ofstream(options_.store.staging("endpoint") / "3") << "left by a killed listener";
  ListenerProcess listener(options_, socket_.fd.get());
  ASSERT_TRUE(listener.ready());
  EXPECT_EQ(get("/v1/cache/123").body, "the artifact");
  EXPECT_EQ(get("/v1/cache/124").status, 404);
  EXPECT_EQ(testing::request(socket_.port, "PUT", "/v1/cache/125", kBearer, "body").status, 403);
  EXPECT_EQ(get("/v1/cache/%31").status, 404);
  EXPECT_EQ(testing::request(socket_.port, "GET", "/v1/cache/123").status, 401);
  EXPECT_FALSE(std::filesystem::exists(options_.store.staging("endpoint") / "3"));
  EXPECT_EQ(listener.end(SIGTERM), 0);
}

// The daemon takes files of the listener before just now, the disk is read-only: nothing of that keeps hits away.
TEST_F(ListenerTest, IsUpAlsoWhenWhatWasLeftCannotBeRemoved) {
  struct NoUnlink final : io::FaultInjector {
    NoUnlink() { io::install_fault_injector(this); }
    ~NoUnlink() override { io::install_fault_injector(nullptr); }
    Status before(const Step& step) override {
      if (step.op == io::Op::unlink && step.what == "upload") return Error{Code::internal, "no such file"};
      return Ok{};
    }
    void after(const Step&, bool) override {}
  };
  make_store("the artifact");
  std::filesystem::create_directories(options_.store.staging("endpoint"));
  std::ofstream(options_.store.staging("endpoint") / "3") << "left by a killed listener";
  NoUnlink faults;
  ListenerProcess listener(options_, socket_.fd.get());
  ASSERT_TRUE(listener.ready());
  EXPECT_EQ(get("/v1/cache/123").body, "the artifact");
  EXPECT_TRUE(std::filesystem::exists(options_.store.staging("endpoint") / "3"));
  EXPECT_EQ(listener.end(SIGTERM), 0);
}

TEST_F(ListenerTest, IsUpBeforeThereIsAStore) {
  ListenerProcess listener(options_, socket_.fd.get());
  ASSERT_TRUE(listener.ready());
  EXPECT_EQ(get("/v1/cache/123").status, 404);
  make_store("the artifact");
  EXPECT_EQ(get("/v1/cache/123").body, "the artifact");
}

TEST_F(ListenerTest, AConnectWhileItIsDeadWaitsForTheNextOne) {
  make_store("the artifact");
  {
    ListenerProcess killed(options_, socket_.fd.get());
    ASSERT_TRUE(killed.ready());
    EXPECT_EQ(get("/v1/cache/123").status, 200);
    killed.end(SIGKILL);
  }
  RawConnection early(socket_.port);
  early.send("GET /v1/cache/123 HTTP/1.1\r\nHost: localhost\r\n" + std::string(kBearer) + "\r\n");
  ListenerProcess next(options_, socket_.fd.get());
  EXPECT_EQ(early.read_reply().body, "the artifact");
  EXPECT_EQ(next.end(SIGTERM), 0);
  RawConnection later(socket_.port);  // the socket still takes connections
}

TEST_F(ListenerTest, SigtermAnswersWhatWaitsForTheDaemonAsAMiss) {
  make_store("the artifact");
  ListenerProcess listener(options_, socket_.fd.get());
  ASSERT_TRUE(listener.ready());
  testing::ToyDaemon daemon;
  daemon.start(options_.store);
  RawConnection waiting(socket_.port);
  waiting.send("GET /v1/cache/7 HTTP/1.1\r\nHost: localhost\r\n" + std::string(kBearer) + "\r\n");
  ASSERT_TRUE(daemon.wait_asked("/v1/fetch", 1));
  EXPECT_EQ(listener.end(SIGTERM), 0);
  EXPECT_EQ(waiting.read_reply().status, 404);
}

TEST_F(ListenerTest, WrongOptionsEndItBeforeItIsReady) {
  options_.loopback_token.clear();
  ListenerProcess no_token(options_, socket_.fd.get());
  EXPECT_FALSE(no_token.ready());
  EXPECT_EQ(no_token.end(0), 1);
  options_.kind = ListenerKind::serve;
  options_.tokens_file = (dir_ / "none.json").string();
  ListenerProcess no_tokens_file(options_, socket_.fd.get());
  EXPECT_FALSE(no_tokens_file.ready());
  EXPECT_EQ(no_tokens_file.end(0), 1);
}

class ListenerTlsTest : public ListenerTest {
 protected:
  std::string run(std::vector<std::string> arguments) {
    testing::Command command;
    command.arguments = std::move(arguments);
    auto outcome = testing::Process(command).wait(Milliseconds(60'000));
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return outcome.output;
  }
  void make_certificate(const std::string& openssl) {
    options_.tls_certificate_file = (dir_ / "cert.pem").string();
    options_.tls_key_file = (dir_ / "key.pem").string();
    run({openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", options_.tls_key_file, "-out",
         options_.tls_certificate_file});
  }
};

TEST_F(ListenerTlsTest, ServeSpeaksTls) {
  auto openssl = testing::find_tool("openssl", "HITFS_TEST_OPENSSL");
  HITFS_NEEDS(openssl, "openssl", "apt-get install openssl");
  auto curl = testing::find_tool("curl", "HITFS_TEST_CURL");
  HITFS_NEEDS(curl, "curl", "apt-get install curl");
  make_certificate(openssl->string());
  std::string artifact(5'000'000, 'x');
  make_store(artifact);
  options_.kind = ListenerKind::serve;
  options_.tokens_file = (dir_ / "tokens.json").string();
  auto token = add_token(options_.tokens_file, {.name = "ci", .rights = {.read = true, .write = true}}).value();
  ListenerProcess listener(options_, socket_.fd.get());
  ASSERT_TRUE(listener.ready());
  testing::ToyDaemon daemon;
  daemon.answer("/v1/store", R"({"outcome": "stored"})");
  daemon.start(options_.store);

  auto url = "https://localhost:" + std::to_string(socket_.port) + "/v1/cache/";
  auto got = (dir_ / "got").string();
  std::vector<std::string> common{
      curl->string(), "--silent", "--show-error", "--cacert", options_.tls_certificate_file,
      "--noproxy",    "*",        "-4",           "-H",       "Authorization: Bearer " + token};
  auto with = [&](std::vector<std::string> more) {
    auto all = common;
    all.insert(all.end(), more.begin(), more.end());
    return run(all);
  };
  with({"--output", got, url + "123"});
  EXPECT_TRUE(io::read_file(got, 64 << 20).value() == artifact);
  EXPECT_EQ(with({"--upload-file", got, "--output", "/dev/null", "--write-out", "%{http_code}", url + "124"}), "200");
  EXPECT_EQ(listener.end(SIGTERM), 0);
}

}  // namespace
}  // namespace hitfs
