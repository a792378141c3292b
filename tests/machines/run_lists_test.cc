#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "store/base/json.h"
#include "tests/machines/build_machines.h"

// Run lists, prewarm and `why` for tasks with the program as people call it: machines (a store and a clone each), a
// team server, and builds that use the endpoint as a build tool does.
namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class RunListsProgramTest : public BuildMachines {};

TEST_F(RunListsProgramTest, AnEmptyMachineGetsWhatMainBuiltWithoutBeingToldAKey) {
  const auto built = run(build("a", main_, "101 102 103 104 105"), kLimit);
  ASSERT_EQ(built.code, 0) << built.output;
  const Json summary = last_json(built.output);
  EXPECT_EQ(summary["list"]["commit"].text_or(""), one_);
  EXPECT_EQ(summary["list"]["keys"].integer_or(0), 5);
  EXPECT_EQ(summary["pushed"].integer_or(0), 5) << "the list is no result of the build";
  throw_away("a");
  // A server that has the list and all but one of the entries.
  const auto list = on_server(part_name(one_, 0));
  server_ = std::make_unique<TeamServer>(folder_ / "other-server");
  send_to_server(part_name(one_, 0), list);
  for (const char* name : {"101", "102", "104", "105"}) send_to_server(name, "@" + golden_path("nx-24.0.6.tar.gz"));

  const GitRepository work(folder_ / "work", main_);
  work.write("source", "2");
  work.commit("two");
  const auto prewarmed = run(on("b", {"prewarm", "--json"}, work.folder()), kLimit);
  EXPECT_EQ(prewarmed.code, 0) << prewarmed.output;
  const Json got = last_json(prewarmed.output);
  EXPECT_EQ(got["commit"].text_or(""), one_);
  EXPECT_EQ(got["distance"].integer_or(0), 1);
  EXPECT_EQ(got["wanted"].integer_or(0), 5);
  EXPECT_EQ(got["pulled"].integer_or(0), 4);
  EXPECT_EQ(got["missing"].integer_or(0), 1);
  EXPECT_EQ(got["failed"].integer_or(-1), 0);

  const auto rebuilt = run(build("b", work, "101 102 103 104 105"), kLimit);
  EXPECT_EQ(rebuilt.code, 0) << rebuilt.output;
  const Json counters = last_json(rebuilt.output);
  EXPECT_EQ(counters["hit"].integer_or(0), 4);
  EXPECT_EQ(counters["prewarmed"].integer_or(0), 4);
  EXPECT_EQ(counters["miss"].integer_or(0), 1);
}

TEST_F(RunListsProgramTest, APublishedListHoldsNoSecretAndNoPlace) {
  ASSERT_EQ(run(build("a", main_, "101"), kLimit).code, 0);
  const auto list = on_server(part_name(one_, 0));
  EXPECT_EQ(list, R"({"commit":")" + one_ + R"(","complete":true,"hitfs-list":1,"keys":[{"bytes":)" +
                      std::to_string(golden("nx-24.0.6.tar.gz").size()) + R"(,"how":"stored","key":"nx/101"}]})" +
                      "\n");
  std::array<char, 256> host{};
  ASSERT_EQ(::gethostname(host.data(), host.size() - 1), 0);
  for (const std::string& secret :
       {server_->token(), folder_.path().string(), std::string(host.data()), std::string("main")}) {
    EXPECT_EQ(list.find(secret), std::string::npos) << secret;
  }
}

TEST_F(RunListsProgramTest, ADirtyTreePublishesNothingUnlessAsked) {
  main_.write("source", "changed");
  auto in_ci = build("a", main_, "101");
  in_ci.environment["CI"] = "true";
  const auto dirty = run(in_ci, kLimit);
  EXPECT_EQ(dirty.code, 0);
  EXPECT_TRUE(last_json(dirty.output)["list"].is_null()) << dirty.output;
  EXPECT_NE(dirty.output.find("so nobody can prewarm from this build: the work tree has changes"), std::string::npos)
      << dirty.output;
  EXPECT_EQ(parts_on_server(one_), 0u);

  const auto asked = run(build("a", main_, "101", {"--list-dirty"}), kLimit);
  EXPECT_EQ(last_json(asked.output)["list"]["keys"].integer_or(0), 1) << asked.output;
  EXPECT_EQ(parts_on_server(one_), 1u);
}

TEST_F(RunListsProgramTest, NothingIsPublishedWhenItIsSwitchedOffOrHeadMoved) {
  EXPECT_TRUE(last_json(run(build("a", main_, "101", {"--run-list", "off"}), kLimit).output)["list"].is_null());
  // hitfs looks at the work tree beside the command: this git says when it has done so.
  fs::create_directories(folder_ / "bin");
  std::ofstream(folder_ / "bin/git") << "#!/bin/sh\n" + find_tool("git", "")->string() + " \"$@\"\ncode=$?\n"
                                     << "case \"$*\" in *status*) : > \"$LOOKED\" ;; esac\nexit $code\n";
  fs::permissions(folder_ / "bin/git", fs::perms(0755));
  auto moving = build("a", main_, "101", {},
                      "until [ -e \"$LOOKED\" ]; do :; done\n"
                      "git -c user.name=x -c user.email=x commit -q --allow-empty -m moved\n");
  moving.environment["LOOKED"] = folder_ / "looked";
  moving.environment["PATH"] = (folder_ / "bin").string() + ":" + std::getenv("PATH");
  const auto moved = run(moving, kLimit);
  EXPECT_EQ(moved.code, 0) << moved.output;
  EXPECT_TRUE(last_json(moved.output)["list"].is_null()) << moved.output;
  EXPECT_EQ(parts_on_server(one_), 0u);
}

TEST_F(RunListsProgramTest, TwoMachinesAtOnceMakeTwoParts) {
  const GitRepository other(folder_ / "other", main_);
  Process a(build("a", main_, "101 102"));
  Process b(build("b", other, "201 202"));
  ASSERT_EQ(a.wait(kLimit).code, 0) << a.output();
  ASSERT_EQ(b.wait(kLimit).code, 0) << b.output();
  EXPECT_EQ(parts_on_server(one_), 2u);
  const auto prewarmed = run(on("c", {"prewarm", "--json"}, main_.folder()), kLimit);
  EXPECT_EQ(last_json(prewarmed.output)["pulled"].integer_or(0), 4) << prewarmed.output;
}

TEST_F(RunListsProgramTest, TwoRunsOfOneMachineEachHaveTheirKeys) {
  // Neither ends before the other has begun.
  const fs::path fifo = folder_ / "fifo";
  ASSERT_EQ(run({{"mkfifo", fifo}, {}, {}}, kLimit).code, 0);
  Process first(build("a", main_, "101", {}, "echo up > " + fifo.string() + "\n"));
  Process second(build("a", main_, "201", {}, "read up < " + fifo.string() + "\n"));
  ASSERT_EQ(first.wait(kLimit).code, 0) << first.output();
  ASSERT_EQ(second.wait(kLimit).code, 0) << second.output();
  for (Process* one : {&first, &second}) EXPECT_GE(last_json(one->output())["list"]["keys"].integer_or(0), 1);
  const auto prewarmed = run(on("b", {"prewarm", "--json"}, main_.folder()), kLimit);
  EXPECT_EQ(last_json(prewarmed.output)["pulled"].integer_or(0), 2) << prewarmed.output;
}

TEST_F(RunListsProgramTest, SomethingElseUnderTheNameOfAPartIsPassedBy) {
  send_to_server(part_name(one_, 0), "somebody else's bytes");
  const auto built = run(build("a", main_, "101 102"), kLimit);
  ASSERT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(on_server(part_name(one_, 0)), "somebody else's bytes");
  EXPECT_EQ(parts_on_server(one_), 2u);
  throw_away("a");
  const auto prewarmed = run(on("b", {"prewarm", "--json"}, main_.folder()), kLimit);
  EXPECT_EQ(last_json(prewarmed.output)["pulled"].integer_or(0), 2) << prewarmed.output;
}

TEST_F(RunListsProgramTest, TheListOfAFailedBuildIsPublishedAndNotTheLastWord) {
  ASSERT_EQ(run(build("a", main_, "101 102"), kLimit).code, 0);
  main_.write("source", "2");
  const auto two = main_.commit("two");
  auto failing = build("a", main_, "201");
  failing.arguments.back() += "exit 3\n";
  const auto failed = run(failing, kLimit);
  EXPECT_EQ(failed.code, 3);
  EXPECT_EQ(last_json(failed.output)["list"]["keys"].integer_or(0), 1) << failed.output;
  throw_away("a");
  const auto prewarmed = run(on("b", {"prewarm", "--json"}, main_.folder()), kLimit);
  const Json got = last_json(prewarmed.output);
  EXPECT_EQ(got["pulled"].integer_or(0), 3) << prewarmed.output;
  EXPECT_EQ(got["commit"].text_or(""), one_);
}

TEST_F(RunListsProgramTest, AServerThatIsDownFailsNothing) {
  ASSERT_EQ(run(build("a", main_, "101"), kLimit).code, 0);
  server_->kill();
  const auto prewarmed = run(on("b", {"prewarm"}, main_.folder()), kLimit);
  EXPECT_EQ(prewarmed.code, 0);
  EXPECT_NE(prewarmed.output.find("nothing to prewarm: "), std::string::npos) << prewarmed.output;
  main_.write("source", "2");
  main_.commit("two");
  const auto built = run(build("a", main_, "101 201", {"--flush", "2s", "--prewarm-base", "HEAD"}), kLimit);
  EXPECT_EQ(built.code, 0);
  const Json summary = last_json(built.output);
  EXPECT_EQ(summary["list"]["keys"].integer_or(0), 2) << built.output;
  EXPECT_EQ(summary["prewarm"]["commit"].text_or(""), one_) << "this machine has that list itself";
  EXPECT_NE(built.output.find("uploads are not done"), std::string::npos) << built.output;
  EXPECT_EQ(built.output.find(server_->token()), std::string::npos);
}

TEST_F(RunListsProgramTest, RunsWithoutGitAndSaysWhatThatCosts) {
  fs::create_directories(folder_ / "plain");
  auto command = on("a", {"prewarm"}, folder_ / "plain");
  command.environment["GIT_CEILING_DIRECTORIES"] = folder_.path().string();
  const auto outside = run(command, kLimit);
  EXPECT_EQ(outside.code, 1);
  EXPECT_NE(outside.output.find("no run list can be looked for"), std::string::npos) << outside.output;

  auto unknown = run(on("a", {"prewarm", "--base", "origin/main"}, main_.folder()), kLimit);
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.output.find("origin/main"), std::string::npos) << unknown.output;

  // Only curl and a shell are on this PATH.
  fs::create_directories(folder_ / "bin");
  for (const char* tool : {"curl", "sh"}) fs::create_symlink(*find_tool(tool, ""), folder_ / "bin" / tool);
  auto no_git = build("a", main_, "101", {"--prewarm-base", "HEAD"});
  no_git.environment["PATH"] = folder_ / "bin";
  const auto built = run(no_git, kLimit);
  EXPECT_EQ(built.code, 0) << built.output;
  EXPECT_NE(built.output.find("no prewarm: git is not installed"), std::string::npos) << built.output;
  EXPECT_EQ(last_json(built.output)["miss"].integer_or(0), 1);
}

TEST_F(RunListsProgramTest, AShallowCloneIsSaidWithItsRemedy) {
  ASSERT_EQ(run(build("a", main_, "101"), kLimit).code, 0);
  for (const char* name : {"two", "three"}) main_.commit(name);
  const GitRepository shallow(folder_ / "shallow", main_, 1);
  const auto prewarmed = run(on("b", {"prewarm"}, shallow.folder()), kLimit);
  EXPECT_EQ(prewarmed.code, 0);
  EXPECT_NE(prewarmed.output.find("shallow clone: only 1 of the last 100 commits"), std::string::npos)
      << prewarmed.output;
  EXPECT_NE(prewarmed.output.find("none of the last 1 commits of HEAD has a run list"), std::string::npos);
}

TEST_F(RunListsProgramTest, ARunPrewarmsBesideItsCommand) {
  ASSERT_EQ(run(build("a", main_, "101 102 103"), kLimit).code, 0);
  throw_away("a");
  // The build begins when the last entry has come in by itself; `why` asks no remote.
  auto here = "until \"$HITFS\" why --json nx/103 | grep -q '\"state\":\"here\"'; do :; done\n";
  auto command = build("b", main_, "101 102 103", {"--prewarm-base", "main"}, here);
  command.environment["HITFS"] = command.arguments.front();
  const auto built = run(command, kLimit);
  ASSERT_EQ(built.code, 0) << built.output;
  const Json summary = last_json(built.output);
  EXPECT_EQ(summary["hit"].integer_or(0), 3);
  EXPECT_EQ(summary["miss"].integer_or(-1), 0);
  EXPECT_GE(summary["prewarmed"].integer_or(0), 1);
  EXPECT_EQ(summary["prewarm"]["pulled"].integer_or(0), 3);
  EXPECT_NE(built.output.find("hitfs: prewarmed 3 of 3"), std::string::npos) << built.output;
}

TEST_F(RunListsProgramTest, NamedKeysAreTakenFromTheLineAndFromStandardInput) {
  ASSERT_EQ(run(build("a", main_, "101 102"), kLimit).code, 0);
  const auto named = run(on("b", {"prewarm", "--json", "nx/101", "nx/999"}, folder_.path()), kLimit);
  EXPECT_EQ(named.code, 0);
  EXPECT_EQ(last_json(named.output)["pulled"].integer_or(0), 1) << named.output;
  EXPECT_EQ(last_json(named.output)["missing"].integer_or(0), 1);
  auto command = on("b", {}, folder_.path());
  command.arguments = {"/bin/sh", "-c", "printf 'nx/101\\nnx/102\\n' | \"$0\" prewarm --json -", command.arguments[0]};
  const auto read = run(command, kLimit);
  EXPECT_EQ(last_json(read.output)["pulled"].integer_or(0), 1) << read.output;
  EXPECT_EQ(last_json(read.output)["here"].integer_or(0), 1);
  EXPECT_EQ(run(on("b", {"prewarm", "no namespace/x"}, folder_.path()), kLimit).code, 2);
}

TEST_F(RunListsProgramTest, WhyTellsOfATask) {
  // What nx leaves of its run, with the hash of one task.
  auto nx = [](const std::string& hash) {
    return "mkdir -p .nx/cache; echo '{\"tasks\":[{\"taskId\":\"lib-a:build\",\"hash\":\"" + hash +
           "\",\"status\":0}]}' > .nx/cache/run.json\n";
  };
  ASSERT_EQ(run(build("a", main_, "101", {}, nx("101")), kLimit).code, 0);
  const GitRepository work(folder_ / "work", main_);
  auto why = [&](const std::string& task) { return run(on("b", {"why", "--json", task}, work.folder()), kLimit); };

  const auto fresh = why("lib-a:build");
  EXPECT_EQ(fresh.code, 0);
  EXPECT_EQ(last_json(fresh.output)["verdict"].text_or(""), "listed") << fresh.output;
  EXPECT_EQ(last_json(why("lib-b:build").output)["verdict"].text_or(""), "never");

  work.write("source", "2");
  work.commit("two");
  ASSERT_EQ(run(build("b", work, "201", {}, nx("201")), kLimit).code, 0);
  const Json other = last_json(why("lib-a:build").output);
  EXPECT_EQ(other["verdict"].text_or(""), "other") << other.dump();
  EXPECT_EQ(other["key"].text_or(""), "nx/201");
  EXPECT_EQ(other["entry"]["state"].text_or(""), "here");
  const auto told = run(on("b", {"why", "lib-a:build"}, work.folder()), kLimit);
  EXPECT_NE(
      told.output.find(one_.substr(0, 12) + " (1 before HEAD) built it under another hash, nx/101: its inputs differ"),
      std::string::npos)
      << told.output;

  work.git({"checkout", "--quiet", one_});
  ASSERT_EQ(run(build("b", work, "101", {}, nx("101")), kLimit).code, 0);
  EXPECT_EQ(last_json(why("lib-a:build").output)["verdict"].text_or(""), "same");
}

// Each nx rewrites run.json.
TEST_F(RunListsProgramTest, TheTasksOfEveryNxCommandHaveTheirNames) {
  auto nx = [](const std::string& task, const std::string& hash) {
    return "mkdir -p .nx/cache; echo '{\"tasks\":[{\"taskId\":\"" + task + "\",\"hash\":\"" + hash +
           "\",\"status\":0}]}' > .nx/cache/run.json\n";
  };
  // As long as the shortest nx command takes, several times.
  const auto built =
      run(build("a", main_, "101 102", {}, nx("lib-a:build", "101") + "sleep 0.5\n" + nx("lib-b:test", "102")), kLimit);
  ASSERT_EQ(built.code, 0) << built.output;
  const auto list = on_server(part_name(one_, 0));
  for (const char* task : {"lib-a:build", "lib-b:test"}) EXPECT_NE(list.find(task), std::string::npos) << list;
}

}  // namespace
}  // namespace hitfs::testing
