#include "tests/drills/drill.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <random>

#include "store/base/io.h"
#include "store/key.h"
#include "tests/support/golden.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr Milliseconds kLimit{90'000};
constexpr const char* kServerVariable = "NX_SELF_HOSTED_REMOTE_CACHE_SERVER=http://127.0.0.1:";
constexpr const char* kTokenVariable = "NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN=";

// What stands behind `before` on its line.
std::string rest_of_line(const std::string& text, const std::string& before) {
  auto at = text.find(before);
  if (at == std::string::npos) return "";
  at += before.size();
  return text.substr(at, text.find('\n', at) - at);
}

}  // namespace

Drill::Drill() { guard(); }

Drill::~Drill() {
  auto stopped = hitfs("stop", {"--flush", "0s"});
  EXPECT_FALSE(stopped.timed_out) << stopped.output;
}

// A process that outlives a killed test and ends what it started. After a test that ends in order it is a descendant
// like the others.
void Drill::guard() {
  auto stop = hitfs_command("stop", {"--flush", "0s"}).arguments;
  std::vector<std::string> words{"/bin/sh", "-c",
                                 "read nothing; folder=$1; shift; \"$@\"; umount --lazy \"$folder\"/*; "
                                 "rm -rf --one-file-system \"$folder\"",
                                 "sh", folder_.path().string()};
  words.insert(words.end(), stop.begin(), stop.end());
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  UniqueFd theirs(ends[0]);
  alive_.reset(ends[1]);
  if (::fork() != 0) return;
  ::setsid();
  UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  for (int output : {1, 2}) ::dup2(nowhere.get(), output);
  ::dup2(theirs.get(), 0);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

Command Drill::hitfs_command(const std::string& verb, std::vector<std::string> words) {
  words.insert(words.begin(), {verb, "--store", store_.root.string()});
  auto command = testing::hitfs(std::move(words), folder_.path());
  for (const char* name : {"CI", "GITHUB_ENV", "HITFS_TOKEN", "HITFS_REMOTE", "HITFS_STORE", "HITFS_MODE"}) {
    command.environment[name] = std::nullopt;
  }
  command.arguments.insert(command.arguments.begin(), as_user_.begin(), as_user_.end());
  return command;
}

void Drill::become(uid_t user) {
  ASSERT_EQ(::chown(folder_.path().c_str(), user, user), 0);
  auto number = std::to_string(user);
  as_user_ = {"setpriv", "--reuid=" + number, "--regid=" + number, "--clear-groups", "--"};
}

Outcome Drill::hitfs(const std::string& verb, std::vector<std::string> words) {
  return Process(hitfs_command(verb, std::move(words))).wait(kLimit);
}

void Drill::start(const std::vector<std::string>& flags) {
  auto started = hitfs("start", flags);
  ASSERT_EQ(started.code, 0) << started.output;
  port_ = std::atoi(rest_of_line(started.output, kServerVariable).c_str());
  token_ = rest_of_line(started.output, kTokenVariable);
  ASSERT_GT(port_, 0) << started.output;
}

std::filesystem::path Drill::mount(const std::string& name, const std::vector<std::string>& flags) {
  auto place = folder_ / name;
  std::vector<std::string> words{place.string()};
  words.insert(words.end(), flags.begin(), flags.end());
  auto mounted = hitfs("mount", words);
  EXPECT_EQ(mounted.code, 0) << mounted.output;
  return place;
}

RawReply Drill::ask(std::string_view method, const std::string& name, std::string_view body) const {
  return request(port_, method, "/v1/cache/" + name, authorization(), body);
}

Json Drill::status() {
  auto said = hitfs("status", {"--json"});
  auto parsed = Json::parse(said.output);
  EXPECT_TRUE(parsed) << said.output;
  return parsed ? *parsed : Json();
}

pid_t Drill::worker_pid(const std::filesystem::path& place) {
  const auto all = status();
  for (const auto& mount : all["supervisor"]["mounts"].items()) {
    if (mount["path"].text_or("") == place.string()) return pid_in(mount["worker"]);
  }
  ADD_FAILURE() << place << " is not in " << all.dump();
  return 0;
}

void Drill::kill_and_wait(pid_t pid) {
  ASSERT_GT(pid, 1);
  UniqueFd end(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ASSERT_TRUE(end);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  pollfd ended{end.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, static_cast<int>(kLimit.count())), 1);
}

int look(const std::filesystem::path& path) {
  TestProcess looking([&path] {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? 0 : errno;
  });
  return looking.wait(std::chrono::seconds(30)).value_or(ETIMEDOUT);
}

std::optional<std::string> read_file(const std::filesystem::path& path) {
  constexpr size_t kMost = 64 << 20;
  auto bytes = io::read_file(path, kMost);
  if (!bytes) return std::nullopt;
  return *std::move(bytes);
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  ASSERT_TRUE(file) << path;
}

void save(const std::filesystem::path& place, std::string_view bytes) {
  auto beside = place;
  beside += ".tmp";
  write_file(beside, bytes);
  std::filesystem::rename(beside, place);
}

std::string noise(size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes;
  bytes.reserve(size + sizeof(uint64_t));
  while (bytes.size() < size) {
    auto word = random();
    bytes.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  bytes.resize(size);
  return bytes;
}

std::string nx_artifact() { return golden("nx-22.6.5.tar.gz"); }

std::string opaque_artifact(size_t size, unsigned seed) { return "\x28\xb5\x2f\xfd" + noise(size - 4, seed); }

std::string nx_name(int number) { return std::to_string(1'000'000'000'000'000'000 + number); }

std::string flat_name(int number) {
  auto digits = std::to_string(number);
  return std::string("feed000000000000").substr(0, 16 - digits.size()) + digits;
}

void seed(MemoryNxServer& server, const std::string& space, const std::string& name, std::string_view bytes) {
  auto on_server = RemoteKey::of({"", space, name}, 0, "nx").name;
  auto stored = request(server.server().port(), "PUT", "/v1/cache/" + on_server, "", bytes);
  ASSERT_EQ(stored.status, 200);
}

}  // namespace hitfs::testing
