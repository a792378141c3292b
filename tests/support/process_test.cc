#include "tests/support/process.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <csignal>
#include <fstream>

#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

constexpr Milliseconds kSoon{10000};

Command shell(const std::string& script) { return {{"/bin/sh", "-c", script}, {}, {}}; }

TEST(ProcessTest, ReturnsTheExitCodeAndBothOutputs) {
  const Outcome outcome = run(shell("echo out; echo err >&2; exit 3"), kSoon);
  EXPECT_EQ(outcome.code, 3);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.output, "out\nerr\n");
}

TEST(ProcessTest, ReportsASignalAsAShellDoes) { EXPECT_EQ(run(shell("kill -9 $$"), kSoon).code, 128 + SIGKILL); }

TEST(ProcessTest, SaysWhyAProgramCannotBeRun) {
  const Outcome outcome = run({{"/nowhere/program"}, {}, {}}, kSoon);
  EXPECT_EQ(outcome.code, 127);
  EXPECT_NE(outcome.output.find("cannot run /nowhere/program"), std::string::npos) << outcome.output;
}

TEST(ProcessTest, KillsWhatTakesTooLong) {
  const Outcome outcome = run(shell("echo begun; sleep 1000"), Milliseconds(300));
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_EQ(outcome.code, 128 + SIGKILL);
}

TEST(ProcessTest, AddsAndRemovesVariables) {
  ::setenv("HITFS_PROCESS_TEST", "inherited", 1);
  const std::string script = "echo ${HITFS_PROCESS_TEST-none} ${HITFS_OTHER-none}";
  EXPECT_EQ(run({{"/bin/sh", "-c", script}, {{"HITFS_OTHER", "added"}}, {}}, kSoon).output, "inherited added\n");
  EXPECT_EQ(run({{"/bin/sh", "-c", script}, {{"HITFS_PROCESS_TEST", std::nullopt}}, {}}, kSoon).output, "none none\n");
}

TEST(EnclosureTest, EndsDaemonsThatLeftTheirGroup) {
  TempDir folder;
  const std::string pid_file = folder / "pid";
  pid_t daemon = 0;
  {
    Enclosure enclosure(folder.path());
    // The middle shell ends at once: its child would belong to init, beyond the reach of its group.
    const Outcome outcome =
        run(shell("setsid sh -c 'sleep 1000 & echo $! > " + pid_file + "' </dev/null >/dev/null 2>&1"), kSoon);
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    std::ifstream(pid_file) >> daemon;
    ASSERT_GT(daemon, 0);
    EXPECT_EQ(::kill(daemon, 0), 0);
    EXPECT_EQ(enclosure.descendants().size(), 1u);
  }
  EXPECT_EQ(::kill(daemon, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(EnclosureTest, WaitsForThoseWhoWorkInAFolder) {
  TempDir folder;
  const Enclosure enclosure(folder.path());
  EXPECT_TRUE(enclosure.nobody_works_in(folder.path(), kSoon));
  Process worker({{"/bin/sleep", "1000"}, {}, folder.path()});
  // It goes there a moment after its start.
  EXPECT_TRUE(eventually([&] { return !enclosure.nobody_works_in(folder.path(), Milliseconds(0)); }));
  worker.signal(SIGKILL);
  EXPECT_TRUE(enclosure.nobody_works_in(folder.path(), kSoon));
}

TEST(ReadySocketTest, HearsTheServiceAndNoticesItsEnd) {
  TempDir folder;
  ReadySocket ready(folder.path());
  Process silent(shell("exit 0"));
  EXPECT_FALSE(ready.wait(silent, kSoon));
  Process service(
      {{"/bin/sh", "-c", "systemd-notify --ready; exec sleep 1000"}, {{"NOTIFY_SOCKET", ready.path()}}, {}});
  if (run(shell("command -v systemd-notify"), kSoon).code != 0)
    GTEST_SKIP() << "missing tool: systemd-notify (systemd)";
  EXPECT_TRUE(ready.wait(service, kSoon)) << service.output();
}

TEST(TreeTest, TellsContentModeAndLinksApart) {
  TempDir folder;
  ASSERT_EQ(run({{"/bin/sh", "-c",
                  "umask 022; mkdir -p a/d b/d; echo x > a/d/f; echo x > b/d/f; chmod 755 b/d/f; ln -s d a/l; ln -s d "
                  "b/l; touch a/e"},
                 {},
                 folder.path()},
                kSoon)
                .code,
            0);
  const auto a = describe_tree(folder / "a");
  const auto b = describe_tree(folder / "b");
  EXPECT_EQ(a.at("d"), "directory 0755");
  EXPECT_EQ(a.at("l"), "link to d");
  EXPECT_NE(a.at("d/f"), b.at("d/f"));
  EXPECT_TRUE(a.contains("e"));
  EXPECT_FALSE(b.contains("e"));
  EXPECT_EQ(describe_tree(folder / "a", Links::follow).at("l/f"), a.at("d/f"));
}

}  // namespace
}  // namespace hitfs::testing
