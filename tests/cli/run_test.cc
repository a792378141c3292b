#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "cli/supervisor/control_client.h"
#include "cli/supervisor/start.h"
#include "store/base/file_lock.h"
#include "store/base/socket.h"
#include "tests/cli/ran.h"
#include "tests/cli/supervisor_fixture.h"

namespace hitfs::testing {

namespace {

class RunTest : public ::testing::Test {
 protected:
  ~RunTest() override {
    if (auto client = ControlClient::connect(store_)) {
      Json stop;
      stop["op"] = "stop";
      stop["flush_ms"] = 0;
      [[maybe_unused]] auto stopped = client->request(stop, Deadline::after(std::chrono::seconds(60)));
    }
    EXPECT_TRUE(wait_until_free(store_, Deadline::after(std::chrono::seconds(60))));
  }

  // hitfs --store S --idle 0 WORDS...
  std::vector<std::string> hitfs(const std::vector<std::string>& words) const {
    std::vector<std::string> all{FAKE_PROCESS, "cli", "--store", store_.root.string(), "--idle", "0"};
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }
  std::vector<std::string> run(const std::string& script, std::vector<std::string> flags = {}) const {
    std::vector<std::string> words{"run"};
    words.insert(words.end(), flags.begin(), flags.end());
    for (const auto& word : {std::string("--"), std::string("/bin/sh"), std::string("-c"), script})
      words.push_back(word);
    return hitfs(words);
  }
  // A line that a script writes into a FIFO, so that a test knows where it is; blocks until then.
  std::string from_fifo() {
    std::string line;
    // Empty: the writer before had not closed its end yet.
    while (line.empty()) {
      std::ifstream fifo(folder_ / "fifo");
      std::getline(fifo, line);
    }
    return line;
  }
  void make_fifo() { ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0); }
  std::string fifo() const { return (folder_ / "fifo").string(); }

  TempDir folder_;
  StorePaths store_{folder_ / "store"};
  std::map<std::string, std::string> variables_{{"HOME", folder_.path().string()},
                                                {"XDG_CONFIG_HOME", (folder_ / "config").string()}};
};

constexpr const char* kSummary =
    "hitfs: endpoint · 2 hit (1 prewarmed) 2 miss · 2 pushed 2 refused 2 failed 0 pending · 0.0 s\n";

}  // namespace

// What a command sees and what comes back, whatever happens to hitfs: issue section 6.
struct Row {
  const char* name;
  const char* script;
  std::map<std::string, std::string> variables;
  std::vector<std::string> flags;
  int code;              // minus the signal
  const char* in_error;  // part of what hitfs says
  bool cached;           // whether the command found the variables
};

class RunTable : public RunTest, public ::testing::WithParamInterface<Row> {};

TEST_P(RunTable, CommandAlwaysRunsAndItsCodeIsReturned) {
  const auto& row = GetParam();
  auto variables = variables_;
  for (const auto& [name, value] : row.variables) variables[name] = value;
  variables["NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN"] = "upstream-secret";
  variables["HITFS_TOKEN"] = "upstream-secret";
  auto seen = folder_ / "seen";
  auto script = "env > " + seen.string() + "; " + row.script;
  Running running(run(script, row.flags), variables);
  EXPECT_EQ(running.wait(), row.code) << running.error();
  EXPECT_NE(running.error().find(row.in_error), std::string::npos) << running.error();
  EXPECT_EQ(running.error().find("upstream-secret"), std::string::npos);
  std::set<std::string> names;
  for (const auto& line : lines_of(seen)) {
    names.insert(line.substr(0, line.find('=')));
    EXPECT_EQ(line.find("upstream-secret"), std::string::npos) << line;
  }
  EXPECT_EQ(names.contains("NX_SELF_HOSTED_REMOTE_CACHE_SERVER"), row.cached);
  EXPECT_EQ(names.contains("NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN"), row.cached);
  EXPECT_FALSE(names.contains("HITFS_TOKEN"));
}

INSTANTIATE_TEST_SUITE_P(
    Rows, RunTable,
    ::testing::Values(
        Row{"ExitZero", "exit 0", {}, {}, 0, kSummary, true}, Row{"ExitThree", "exit 3", {}, {}, 3, kSummary, true},
        Row{"DeathBySigkill", "kill -KILL $$", {}, {}, -SIGKILL, kSummary, true},
        Row{"DeathBySigterm", "kill -TERM $$", {}, {}, -SIGTERM, kSummary, true},
        Row{"StoreRefused",
            "exit 3",
            {{"FAKE_DAEMON", "refuse store is on nfs; use --store"}},
            {},
            3,
            "no cache for this command: store is on nfs; use --store",
            false},
        Row{"ListenerRefused",
            "exit 3",
            {{"FAKE_LISTENER", "refuse no sockets left"}},
            {},
            3,
            "no cache for this command: endpoint: no sockets left",
            false},
        Row{"UnableToStartAtAll",
            "exit 3",
            {},
            {"--store", "/proc/nowhere"},
            3,
            "no cache for this command: store /proc/nowhere",
            false},
        Row{"WrongConfiguration",
            "exit 3",
            {{"HITFS_IDLE", "soon"}},
            {},
            3,
            "no cache for this command: environment HITFS_IDLE: idle: \"soon\"",
            false},
        Row{"MountRefused", "exit 3", {}, {"--mount", "/proc/self/nowhere"}, 3, "no mount, only the endpoint", true}),
    [](const auto& info) { return info.param.name; });

TEST_F(RunTest, RequiredMountThatIsNotThereRefusesTheRun) {
  auto seen = folder_ / "seen";
  Running running(run("touch " + seen.string(), {"--require", "mount", "--mount", "/proc/self/nowhere"}), variables_);
  EXPECT_EQ(running.wait(), 125);
  EXPECT_FALSE(std::filesystem::exists(seen));
}

TEST_F(RunTest, PortThatIsTakenIsSaidAndTheCommandRuns) {
  auto taken = listen_tcp({"127.0.0.1", 0});
  auto port = std::to_string(*local_port(taken->get()));
  Running running(run("exit 3", {"--port", port}), variables_);
  EXPECT_EQ(running.wait(), 3);
  EXPECT_NE(running.error().find("port " + port), std::string::npos) << running.error();
}

TEST_F(RunTest, UnknownCommandAndUnexecutableOne) {
  Running missing(hitfs({"run", "--", "no-such-command-of-hitfs"}), variables_);
  EXPECT_EQ(missing.wait(), 127);
  EXPECT_NE(missing.error().find("no-such-command-of-hitfs: command not found"), std::string::npos);
  Running folder(hitfs({"run", "--", "/tmp"}), variables_);
  EXPECT_EQ(folder.wait(), 126);
}

TEST_F(RunTest, InterruptOfTheGroupReachesTheCommandAndItsCodeComesBack) {
  make_fifo();
  auto script = "trap 'exit 7' INT; echo up > " + fifo() + "; while :; do :; done";
  Running running(run(script), variables_, true);
  ASSERT_EQ(from_fifo(), "up");
  ASSERT_EQ(::kill(-running.pid(), SIGINT), 0);
  EXPECT_EQ(running.wait(), 7);
  EXPECT_NE(running.error().find(kSummary), std::string::npos) << running.error();
}

// The command may be gone before hitfs has its own copy of the signal.
TEST_F(RunTest, InterruptAfterTheCommandsEndDoesNotTakeThePlaceOfItsCode) {
  make_fifo();
  auto script = "kill -INT $PPID; echo up > " + fifo() + "; kill -STOP $PPID; exit 7";
  Running running(run(script), variables_, true);
  ASSERT_EQ(from_fifo(), "up");
  int status = 0;
  ASSERT_EQ(::waitpid(running.pid(), &status, WUNTRACED), running.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  for (int i = 0; i < 3; ++i) ASSERT_EQ(::kill(running.pid(), SIGINT), 0);
  ASSERT_EQ(::kill(running.pid(), SIGCONT), 0);
  EXPECT_EQ(running.wait(), 7);
}

TEST_F(RunTest, TerminationOfHitfsIsPassedOn) {
  make_fifo();
  auto script = "trap 'exit 8' TERM; echo up > " + fifo() + "; while :; do sleep 0.05; done";
  Running running(run(script), variables_);
  ASSERT_EQ(from_fifo(), "up");
  ASSERT_EQ(::kill(running.pid(), SIGTERM), 0);
  EXPECT_EQ(running.wait(), 8);
}

TEST_F(RunTest, KilledHitfsGivesItsLeaseBack) {
  make_fifo();
  Running running(run("echo up > " + fifo() + "; exec sleep 30"), variables_, true);
  ASSERT_EQ(from_fifo(), "up");
  ASSERT_TRUE(ControlClient::connect(store_));
  ASSERT_EQ(::kill(-running.pid(), SIGKILL), 0);
  running.wait();
  EXPECT_TRUE(wait_until_free(store_, Deadline::after(std::chrono::seconds(60))));
}

TEST_F(RunTest, TwoAtOnceAndOneInsideTheOtherShareTheEndpoint) {
  make_fifo();
  auto say = "echo $NX_SELF_HOSTED_REMOTE_CACHE_SERVER > ";
  auto wait = "; while [ ! -e " + (folder_ / "go").string() + " ]; do sleep 0.05; done";
  Running outer(run(say + fifo() + wait), variables_);
  auto first = from_fifo();
  ASSERT_TRUE(first.starts_with("http://127.0.0.1:")) << first;
  Running beside(run(say + fifo()), variables_);
  EXPECT_EQ(from_fifo(), first);
  EXPECT_EQ(beside.wait(), 0);
  auto inner = std::string(FAKE_PROCESS) + " cli --idle 0 run -- /bin/sh -c '" + say + fifo() + "; exit 5'";
  Running around(run(inner), variables_);
  EXPECT_EQ(from_fifo(), first);
  EXPECT_EQ(around.wait(), 5) << around.error();
  EXPECT_EQ(around.error().find("other settings"), std::string::npos) << around.error();
  std::ofstream(folder_ / "go") << "\n";
  EXPECT_EQ(outer.wait(), 0);
}

TEST_F(RunTest, JoiningWithOtherSettingsIsSaid) {
  Running started(hitfs({"start"}), variables_);
  ASSERT_EQ(started.wait(), 0) << started.error();
  Running running(run("exit 0", {"--remote", "nx+http://127.0.0.1:1"}), variables_);
  EXPECT_EQ(running.wait(), 0);
  EXPECT_NE(running.error().find("joined a hitfs that runs with other settings"), std::string::npos) << running.error();
}

TEST_F(RunTest, UploadsThatAreLeftAreNamed) {
  std::filesystem::create_directory(store_.root);
  std::ofstream(store_.root / "uploads") << "\n";
  Running running(run("exit 0", {"--flush", "0"}), variables_);
  EXPECT_EQ(running.wait(), 0);
  EXPECT_NE(running.error().find("nx/1 (1.5 kB) to far"), std::string::npos) << running.error();
  EXPECT_NE(running.error().find("1 pending"), std::string::npos) << running.error();
}

TEST_F(RunTest, SummaryIsOneLine) {
  Running running(run("exit 0"), variables_);
  running.wait();
  EXPECT_EQ(running.error(), kSummary);
  EXPECT_EQ(running.out(), "");
}

TEST_F(RunTest, MountOfARunIsGoneAfterwardsAndNamedInTheSummary) {
  auto place = folder_ / "m";
  Running running(run("test -S " + (place / "device").string(), {"--mount", place.string()}), variables_);
  EXPECT_EQ(running.wait(), 0) << running.error();
  EXPECT_NE(running.error().find("hitfs: mount · "), std::string::npos) << running.error();
}

// A terminal of its own, with `words` in its foreground.
class Terminal {
 public:
  Terminal(const std::vector<std::string>& words, const std::map<std::string, std::string>& variables) {
    std::vector<char*> arguments;
    for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_ = ::forkpty(&master_, nullptr, nullptr, nullptr);
    if (pid_ != 0) return;
    ::unsetenv("CI");
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
    ::execv(arguments[0], arguments.data());
    ::_exit(99);
  }
  ~Terminal() { ::close(master_); }
  void type(const std::string& text) {
    ASSERT_EQ(::write(master_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Reads until `text` was shown, or the end.
  bool shows(const std::string& text) {
    char piece[256];
    while (shown_.find(text) == std::string::npos) {
      auto got = ::read(master_, piece, sizeof(piece));
      if (got <= 0) return false;
      shown_.append(piece, static_cast<size_t>(got));
    }
    return true;
  }
  int wait() {
    int status = 0;
    shows("\x01never");  // the output must be taken, else the end waits
    ::waitpid(pid_, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }
  const std::string& shown() const { return shown_; }

 private:
  int master_ = -1;
  pid_t pid_ = -1;
  std::string shown_;
};

TEST_F(RunTest, InputFromATerminalReachesTheCommand) {
  Terminal terminal(run("test -t 0 || exit 9; echo ready; read line; echo \"got $line\"; exit 4"), variables_);
  ASSERT_TRUE(terminal.shows("ready")) << terminal.shown();
  terminal.type("words\n");
  EXPECT_TRUE(terminal.shows("got words")) << terminal.shown();
  EXPECT_EQ(terminal.wait(), 4) << terminal.shown();
}

TEST_F(RunTest, InterruptFromATerminalEndsTheCommandAndHitfsTellsTheSame) {
  Terminal terminal(run("echo ready; exec sleep 30"), variables_);
  ASSERT_TRUE(terminal.shows("ready")) << terminal.shown();
  terminal.type("\x03");
  EXPECT_EQ(terminal.wait(), -SIGINT) << terminal.shown();
  EXPECT_NE(terminal.shown().find("hitfs: endpoint · "), std::string::npos) << terminal.shown();
}

TEST_F(RunTest, FullDiskLetsTheCommandRun) {
  // A file system without room, in a mount namespace of the test's own.
  auto place = folder_ / "full";
  std::filesystem::create_directory(place);
  auto script = "mount -t tmpfs -o size=4k none " + place.string() + " && cat /dev/zero > " + place.string() +
                "/filler 2>/dev/null; " + FAKE_PROCESS + " cli --store " + place.string() +
                "/store --idle 0 run -- /bin/sh -c 'exit 3'";
  Running probe({"unshare", "-m", "true"}, {});
  if (probe.wait() != 0) GTEST_SKIP() << "no right to make a mount namespace";
  Running running({"unshare", "-m", "/bin/sh", "-c", script}, variables_);
  EXPECT_EQ(running.wait(), 3) << running.error();
  EXPECT_NE(running.error().find("hitfs: no cache for this command: "), std::string::npos) << running.error();
}

TEST_F(RunTest, StartPrintsVariablesAndStopEndsAll) {
  Running started(hitfs({"start"}), variables_);
  ASSERT_EQ(started.wait(), 0) << started.error();
  EXPECT_NE(started.out().find("NX_SELF_HOSTED_REMOTE_CACHE_SERVER=http://127.0.0.1:"), std::string::npos);
  EXPECT_NE(started.out().find("NO_PROXY="), std::string::npos);
  Running stopped(hitfs({"stop", "--flush", "5s"}), variables_);
  EXPECT_EQ(stopped.wait(), 0) << stopped.error();
  EXPECT_NE(stopped.error().find(kSummary), std::string::npos) << stopped.error();
  EXPECT_FALSE(is_locked(store_.supervisor_lock()));
}

TEST_F(RunTest, StartAppendsToTheFileOfGithub) {
  auto file = folder_ / "github";
  auto variables = variables_;
  variables["GITHUB_ENV"] = file.string();
  Running started(hitfs({"start"}), variables);
  ASSERT_EQ(started.wait(), 0) << started.error();
  auto lines = lines_of(file);
  EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [](const auto& line) {
    return line.starts_with("NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN=");
  }));
  EXPECT_TRUE(started.out().starts_with("::add-mask::")) << "the token must not show in the job's log";
}

}  // namespace hitfs::testing
