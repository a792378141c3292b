#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>

#include "store/base/json.h"
#include "tests/machines/build_machines.h"

// The run list of a job of several steps, from `hitfs start` to `hitfs stop`.
namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

class StartListsTest : public BuildMachines {
 protected:
  // `hitfs start FLAGS`, whose variables the steps get.
  void start(const std::string& machine, const GitRepository& work, std::vector<std::string> flags = {}) {
    flags.insert(flags.begin(), "start");
    const auto started = run(on(machine, flags, work.folder()), kLimit);
    ASSERT_EQ(started.code, 0) << started.output;
    std::istringstream lines(started.output);
    for (std::string line; std::getline(lines, line);) {
      auto equals = line.find('=');
      if (equals != std::string::npos) variables_[line.substr(0, equals)] = line.substr(equals + 1);
    }
  }
  void step(const std::string& machine, const GitRepository& work, const std::string& names,
            const std::string& script = "") {
    Command command = on(machine, {}, work.folder());
    command.arguments = {"/bin/sh", "-c", script + kBuild};
    for (const auto& [name, value] : variables_) command.environment[name] = value;
    command.environment["NAMES"] = names;
    const auto done = run(command, kLimit);
    ASSERT_EQ(done.code, 0) << done.output;
  }
  Outcome stop(const std::string& machine, std::vector<std::string> flags = {},
               const std::map<std::string, std::string>& environment = {}) {
    flags.insert(flags.begin(), {"stop", "--json"});
    // Not where `start` was called.
    Command command = on(machine, flags, folder_.path());
    for (const auto& [name, value] : environment) command.environment[name] = value;
    return run(command, kLimit);
  }

  std::map<std::string, std::string> variables_;
};

TEST_F(StartListsTest, StopPublishesWhatTheStepsHitAndStored) {
  start("a", main_);
  step("a", main_, "101 102");
  step("a", main_, "102 103", R"(mkdir -p .nx/cache
    echo '{"tasks":[{"taskId":"lib-c:build","hash":"103","status":0}]}' > .nx/cache/run.json
  )");
  const auto stopped = stop("a");
  EXPECT_EQ(stopped.code, 0) << stopped.output;
  const Json summary = last_json(stopped.output);
  EXPECT_EQ(summary["list"]["commit"].text_or(""), one_) << stopped.output;
  EXPECT_EQ(summary["list"]["keys"].integer_or(0), 3) << stopped.output;

  const auto list = on_server(part_name(one_, 0));
  EXPECT_NE(list.find(R"("complete":true)"), std::string::npos) << list;
  EXPECT_NE(list.find(R"("task":"lib-c:build")"), std::string::npos) << list;
  for (const std::string& secret : {server_->token(), variables_["NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN"],
                                    folder_.path().string(), std::string("main")}) {
    ASSERT_FALSE(secret.empty());
    EXPECT_EQ(list.find(secret), std::string::npos) << secret;
  }
  const auto prewarmed = run(on("b", {"prewarm", "--json"}, main_.folder()), kLimit);
  EXPECT_EQ(last_json(prewarmed.output)["pulled"].integer_or(0), 3) << prewarmed.output;
}

TEST_F(StartListsTest, TheTreeIsLookedAtWhenTheBuildBegins) {
  start("a", main_);
  main_.write("source", "written by the build");
  step("a", main_, "101");
  EXPECT_EQ(last_json(stop("a").output)["list"]["keys"].integer_or(0), 1);

  start("a", main_);
  step("a", main_, "201");
  const auto dirty = stop("a", {}, {{"CI", "true"}});
  EXPECT_EQ(dirty.code, 0) << dirty.output;
  EXPECT_TRUE(last_json(dirty.output)["list"].is_null()) << dirty.output;
  EXPECT_NE(dirty.output.find("so nobody can prewarm from this build: the work tree has changes"), std::string::npos)
      << dirty.output;

  start("a", main_, {"--list-dirty"});
  step("a", main_, "301");
  EXPECT_EQ(last_json(stop("a").output)["list"]["keys"].integer_or(0), 1);
  EXPECT_EQ(parts_on_server(one_), 2u);
}

TEST_F(StartListsTest, AFailedJobSaysSoAndAnInterruptedOneSaysNothing) {
  start("a", main_);
  step("a", main_, "101");
  EXPECT_EQ(last_json(stop("a", {"--failed"}).output)["list"]["keys"].integer_or(0), 1);
  EXPECT_NE(on_server(part_name(one_, 0)).find(R"("complete":false)"), std::string::npos);

  start("a", main_);
  step("a", main_, "201");
  EXPECT_EQ(last_json(stop("a", {}, {{"CI_JOB_STATUS", "failed"}}).output)["list"]["keys"].integer_or(0), 1);
  EXPECT_NE(on_server(part_name(one_, 1)).find(R"("complete":false)"), std::string::npos);

  start("a", main_);
  step("a", main_, "301");
  EXPECT_TRUE(last_json(stop("a", {}, {{"CI_JOB_STATUS", "canceled"}}).output)["list"].is_null());
  EXPECT_EQ(parts_on_server(one_), 2u);
}

TEST_F(StartListsTest, NothingIsPublishedOfAnotherCommitOrWithoutGit) {
  start("a", main_);
  step("a", main_, "101");
  main_.write("source", "2");
  main_.commit("two");
  const auto moved = stop("a", {}, {{"CI", "true"}});
  EXPECT_EQ(moved.code, 0) << moved.output;
  EXPECT_NE(moved.output.find("HEAD moved during the build"), std::string::npos) << moved.output;

  const GitRepository gone(folder_ / "gone", main_);
  start("a", gone);
  step("a", gone, "201");
  fs::remove_all(gone.folder());
  const auto lost = stop("a");
  EXPECT_EQ(lost.code, 0) << lost.output;
  EXPECT_TRUE(last_json(lost.output)["list"].is_null()) << lost.output;
  EXPECT_EQ(parts_on_server(one_), 0u);
}

}  // namespace
}  // namespace hitfs::testing
