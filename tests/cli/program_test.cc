// hitfs as it was built, with its real processes.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "store/base/file_lock.h"
#include "store/base/json.h"
#include "store/base/unique_fd.h"
#include "store/store_paths.h"
#include "tests/support/eventually.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/read_all.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr Milliseconds kLimit{60000};

class ProgramTest : public ::testing::Test {
 protected:
  ~ProgramTest() override { stop_hitfs(store_.root); }

  Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin() + 1, {"--store", store_.root.string()});
    return Process(hitfs(std::move(arguments), folder_.path())).wait(kLimit);
  }
  static void write(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }
  static std::string read(const std::filesystem::path& path) { return read_all(path); }

  // The supervisor that holds the store, as its status says.
  pid_t supervisor_pid() {
    auto status = Json::parse(run({"status", "--json"}).output);
    return status ? static_cast<pid_t>(std::as_const(*status)["supervisor"]["pid"].integer_or(0)) : 0;
  }
  // Those that ended and were not reaped too.
  static int children_of(pid_t parent) {
    int children = 0;
    for (const auto& process : std::filesystem::directory_iterator("/proc")) {
      if (process.path().filename().native().find_first_not_of("0123456789") != std::string::npos) continue;
      auto stat = read(process.path() / "stat");
      auto name_end = stat.rfind(')');
      if (name_end == std::string::npos) continue;
      char state = 0;
      int its_parent = 0;
      if (std::sscanf(stat.c_str() + name_end, ") %c %d", &state, &its_parent) != 2) continue;
      children += its_parent == parent;
    }
    return children;
  }

  TempDir folder_;
  StorePaths store_{folder_ / "store"};
};

}  // namespace

TEST_F(ProgramTest, PutGetWhyVerifyAndStop) {
  auto tree = folder_ / "tree";
  std::filesystem::create_directories(tree / "sub");
  write(tree / "sub/file", "bytes");
  std::filesystem::create_symlink("sub/file", tree / "link");
  auto put = run({"put", "0123456789abcdef01", tree.string()});
  ASSERT_EQ(put.code, 0) << put.output;
  auto got = run({"get", "0123456789abcdef01", (folder_ / "out").string()});
  ASSERT_EQ(got.code, 0) << got.output;
  EXPECT_EQ(read(folder_ / "out/sub/file"), "bytes");
  EXPECT_EQ(std::filesystem::read_symlink(folder_ / "out/link"), "sub/file");
  auto why = run({"why", "0123456789abcdef01"});
  EXPECT_NE(why.output.find("was stored here"), std::string::npos) << why.output;
  EXPECT_NE(run({"why", "ffffffffffffffffff"}).output.find("never seen"), std::string::npos);
  EXPECT_EQ(run({"get", "ffffffffffffffffff", (folder_ / "none").string()}).code, 1);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none"));
  auto verified = run({"verify"});
  EXPECT_EQ(verified.code, 0) << verified.output;
  EXPECT_NE(verified.output.find("1 entries, 1 blobs, 5 bytes: 0 damaged"), std::string::npos) << verified.output;
  EXPECT_EQ(run({"flush"}).code, 0);
  EXPECT_EQ(run({"stop"}).code, 0);
  EXPECT_FALSE(is_locked(store_.supervisor_lock()));
  // Nothing of `put` stays in staging.
  for (const auto& one : std::filesystem::directory_iterator(store_.staging())) {
    EXPECT_FALSE(one.path().filename().string().starts_with("cli-")) << one.path();
  }
}

TEST_F(ProgramTest, StatusAsJsonHasWhatScriptsNeed) {
  auto status = run({"status", "--json"});
  ASSERT_EQ(status.code, 0) << status.output;
  auto parsed = Json::parse(status.output);
  ASSERT_TRUE(parsed) << status.output;
  const Json& json = *parsed;
  EXPECT_EQ(json["rung"].text_or(""), "none");
  EXPECT_EQ(json["supervisor"]["daemon"]["state"].text_or(""), "ready");
  EXPECT_EQ(json["store"]["entries"].integer_or(-1), 0);
  EXPECT_TRUE(json["queue"].is_object());
  EXPECT_TRUE(json["totals"].is_object());
}

// "--json --follow" as a script reads it: line by line, while builds go on.
TEST_F(ProgramTest, StatusFollowsWhatHappens) {
  write(folder_ / "file", "bytes");
  ASSERT_EQ(run({"start"}).code, 0);
  auto command = hitfs({"status", "--json", "--follow", "--store", store_.root.string()}, folder_.path());
  Process follower(command);
  auto heard = [&](const std::string& event) {
    std::istringstream lines(follower.output());
    for (std::string line; std::getline(lines, line);) {
      auto json = Json::parse(line);
      if (json && std::as_const(*json)["event"].text_or("") == event) return std::as_const(*json)["key"].text_or("-");
    }
    return std::string();
  };
  auto until = Deadline::after(kLimit);
  while (heard("status").empty() && !until.passed()) std::this_thread::yield();
  ASSERT_EQ(run({"put", "0123456789abcdef01", (folder_ / "file").string()}).code, 0);
  while (heard("stored").empty() && !until.passed()) std::this_thread::yield();
  EXPECT_EQ(heard("stored"), "flat/0123456789abcdef01") << follower.output();
  EXPECT_TRUE(follower.running());
}

TEST_F(ProgramTest, StoreOfANewerFormatIsRefusedInItsOwnWords) {
  std::filesystem::create_directories(store_.root);
  write(store_.format(), "hitfs store 999\n");
  auto status = run({"status"});
  EXPECT_EQ(status.code, 4) << status.output;
  EXPECT_NE(status.output.find("hitfs: "), std::string::npos);
  EXPECT_NE(status.output.find("newer"), std::string::npos) << status.output;
  // And a build goes on.
  auto build = run({"run", "--", "/bin/sh", "-c", "exit 6"});
  EXPECT_EQ(build.code, 6) << build.output;
}

TEST_F(ProgramTest, ALayoutThatIsNotThereIsRefusedByName) {
  auto mount = run({"mount", "--layout", "turbo", (folder_ / "m").string()});
  EXPECT_EQ(mount.code, 3) << mount.output;
  EXPECT_NE(mount.output.find("turbo"), std::string::npos) << mount.output;
}

TEST_F(ProgramTest, InitSaysWhatItCannotReadAndMendsItsOwnFile) {
  std::filesystem::create_directories(folder_ / "ws/packages");
  auto init = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), "init");
    auto command = hitfs(std::move(flags), folder_.path());
    command.directory = folder_ / "ws/packages";
    return Process(command).wait(kLimit);
  };
  auto nothing = init({});
  EXPECT_EQ(nothing.code, 1) << nothing.output;
  EXPECT_NE(nothing.output.find("there is no nx.json"), std::string::npos) << nothing.output;

  write(folder_ / "ws/nx.json", "{\n\"secretAccessKey\": \"hush\" hush\n}");
  auto broken = init({});
  EXPECT_EQ(broken.code, 3) << broken.output;
  EXPECT_NE(broken.output.find("nx.json: not valid JSON, line 2"), std::string::npos) << broken.output;
  EXPECT_EQ(broken.output.find("hush"), std::string::npos) << broken.output;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "ws/.hitfs.toml"));

  write(folder_ / "ws/nx.json", "{}");
  write(folder_ / "ws/.hitfs.toml", "mode = [[[");
  EXPECT_EQ(init({}).code, 3);
  EXPECT_EQ(read(folder_ / "ws/.hitfs.toml"), "mode = [[[");
  auto mended = init({"--force", "--json"});
  EXPECT_EQ(mended.code, 0) << mended.output;
  EXPECT_NE(mended.output.find("\"written\":true"), std::string::npos) << mended.output;
  // Secrets of the environment, also where the configuration cannot be loaded because of them.
  for (const char* url : {"https://u:hush@h/", "https://h/?token=hush", "https://cache.example.com"}) {
    auto command = hitfs({"init", "--print"}, folder_.path());
    command.directory = folder_ / "ws";
    command.environment["NX_SELF_HOSTED_REMOTE_CACHE_SERVER"] = url;
    for (const char* name :
         {"NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN", "HITFS_TOKEN", "NX_KEY", "NX_POWERPACK_CACHE_MODE"}) {
      command.environment[name] = "hush";
    }
    auto printed = Process(command).wait(kLimit);
    EXPECT_EQ(printed.code, 0) << printed.output;
    EXPECT_EQ(printed.output.find("hush"), std::string::npos) << printed.output;
  }
  auto again = init({"--print"});
  EXPECT_EQ(again.output.substr(0, read(folder_ / "ws/.hitfs.toml").size()), read(folder_ / "ws/.hitfs.toml"));
}

TEST_F(ProgramTest, ServiceSaysWhenItIsReadyAndWhenItEnds) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  timeval limit{60, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  auto path = (folder_ / "notify").string();
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  auto command = hitfs({"start", "--foreground", "--store", store_.root.string()}, folder_.path());
  command.environment["NOTIFY_SOCKET"] = path;
  Process service(command);
  // What it has kept for it is another test's (SupervisorKillsTest).
  auto next = [&] {
    std::string said = "FDSTORE";
    while (said.starts_with("FDSTORE")) {
      char text[256];
      auto got = ::recv(socket.get(), text, sizeof(text), 0);
      said.assign(text, got > 0 ? static_cast<size_t>(got) : 0);
    }
    return said;
  };
  EXPECT_EQ(next(), "READY=1");
  auto ended = service.stop(kLimit);
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_EQ(next(), "STOPPING=1");
}

TEST_F(ProgramTest, AServerInFrontOfAnotherServesAndPassesOn) {
  TeamServer far(folder_ / "far");
  TeamServer near(folder_ / "near", {{"HITFS_REMOTE", "nx+" + far.url()}, {"HITFS_TOKEN", far.token()}});
  auto at = [&](const std::string& machine, const TeamServer& server, std::vector<std::string> words) {
    words.insert(words.begin() + 1, {"--store", (folder_ / machine).string(), "--remote", "nx+" + server.url()});
    auto command = hitfs(std::move(words), folder_.path());
    command.environment["HITFS_TOKEN"] = server.token();
    return Process(command).wait(kLimit);
  };
  write(folder_ / "file", "of the far machine");
  EXPECT_EQ(at("a", far, {"put", "0123456789abcdef01", (folder_ / "file").string()}).code, 0);
  EXPECT_EQ(at("a", far, {"flush"}).code, 0);
  auto pulled = at("b", near, {"get", "0123456789abcdef01", (folder_ / "pulled").string()});
  EXPECT_EQ(pulled.code, 0) << pulled.output;
  EXPECT_EQ(read(folder_ / "pulled"), "of the far machine");

  write(folder_ / "file", "of the near machine");
  EXPECT_EQ(at("b", near, {"put", "0123456789abcdef02", (folder_ / "file").string()}).code, 0);
  EXPECT_EQ(at("b", near, {"flush"}).code, 0);
  auto near_store = folder_ / "near/store";
  EXPECT_EQ(Process(hitfs({"flush", "--store", near_store.string()}, folder_.path())).wait(kLimit).code, 0);
  auto passed_on = at("c", far, {"get", "0123456789abcdef02", (folder_ / "passed-on").string()});
  EXPECT_EQ(passed_on.code, 0) << passed_on.output;
  EXPECT_EQ(read(folder_ / "passed-on"), "of the near machine");
  for (const char* machine : {"a", "b", "c"}) stop_hitfs(folder_ / machine);
}

TEST_F(ProgramTest, MountShowsKeepsAndEnds) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  auto place = folder_ / "m";
  auto mounted = run({"mount", place.string()});
  ASSERT_EQ(mounted.code, 0) << mounted.output;
  std::filesystem::create_directory(place / "new.tmp");
  write(place / "new.tmp/file", "bytes");
  std::filesystem::rename(place / "new.tmp", place / "0123456789abcdef01");
  auto why = run({"why", (place / "0123456789abcdef01/file").string()});
  EXPECT_NE(why.output.find("flat/0123456789abcdef01: "), std::string::npos) << why.output;
  // The mount itself says whose it is: no --store.
  auto unmounted = Process(hitfs({"unmount", place.string()}, folder_.path())).wait(kLimit);
  ASSERT_EQ(unmounted.code, 0) << unmounted.output;
  EXPECT_TRUE(std::filesystem::is_empty(place));
  EXPECT_FALSE(is_locked(store_.supervisor_lock())) << "the last one ends everything";
  auto got = run({"get", "0123456789abcdef01", (folder_ / "out").string()});
  ASSERT_EQ(got.code, 0) << got.output;
  EXPECT_EQ(read(folder_ / "out/file"), "bytes");
}

TEST_F(ProgramTest, KilledWorkerAndDaemonAreNotSeen) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  auto place = folder_ / "m";
  auto tree = folder_ / "tree";
  write(tree, "bytes");
  ASSERT_EQ(run({"put", "0123456789abcdef01", tree.string()}).code, 0);
  ASSERT_EQ(run({"mount", place.string()}).code, 0);
  auto supervisor = supervisor_pid();
  ASSERT_GT(supervisor, 0);
  const int children = children_of(supervisor);
  for (const char* who : {"mount", "daemon"}) {
    auto status = run({"status", "--json"});
    auto parsed = Json::parse(status.output);
    ASSERT_TRUE(parsed) << status.output;
    const Json& all = std::as_const(*parsed)["supervisor"];
    const Json& child = std::string_view(who) == "daemon" ? all["daemon"] : all["mounts"].items().at(0)["worker"];
    ASSERT_EQ(::kill(static_cast<pid_t>(child["pid"].integer_or(0)), SIGKILL), 0);
    EXPECT_EQ(read(place / "0123456789abcdef01"), "bytes") << who;
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(place), {}), 1) << who;
  }
  // What the killed worker left behind (beside what the new one has) ends and is reaped soon after.
  EXPECT_TRUE(testing::eventually([&] { return children_of(supervisor) == children; }, kLimit));
  EXPECT_EQ(run({"unmount", place.string()}).code, 0);
}

}  // namespace hitfs::testing
