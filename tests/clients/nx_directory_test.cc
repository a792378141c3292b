// nx with a mount as its cache folder and the stand-in for its shared-directory plugin (nx_shared_directory.js): what
// one machine stores through its mount is a hit on another, whose database knows nothing but what hitfs wrote, and
// never is there a hit without its files.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "store/base/json.h"
#include "tests/clients/nx_workspace.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"
#include "tests/support/tree.h"

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

constexpr Milliseconds kLimit{120000};
constexpr const char* kVersions[] = {"20.8.2", "21.6.5", "22.6.5", "23.3.2", "24.0.6"};
const std::vector<std::string> kBuildAll = {"run-many", "-t", "build"};

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

Json json_of(const fs::path& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  auto json = Json::parse(text.str());
  return json ? *std::move(json) : Json();
}

// The hashes of the tasks of the last run in a workspace: nx keeps them in its cache folder, NxMachine copies them.
std::vector<std::string> hashes_of(const NxWorkspace& workspace) {
  std::vector<std::string> hashes;
  const Json run = json_of(workspace.folder() / "run.json");
  for (const auto& task : run["tasks"].items()) hashes.push_back(task["hash"].text_or(""));
  return hashes;
}

// A machine in a folder of its own: store, mount point and home.
class NxMachine {
 public:
  // Without a remote everything stays on this machine.
  explicit NxMachine(fs::path folder, const TeamServer* server = nullptr)
      : folder_(std::move(folder)), server_(server) {
    fs::create_directories(folder_);
  }
  ~NxMachine() { stop_hitfs(store(), "0s"); }
  NxMachine(const NxMachine&) = delete;
  NxMachine& operator=(const NxMachine&) = delete;

  [[nodiscard]] fs::path store() const { return folder_ / "store"; }
  [[nodiscard]] fs::path root() const { return folder_ / "cache"; }

  Outcome hitfs(std::vector<std::string> arguments) const { return run(configured(std::move(arguments)), kLimit); }
  Outcome mount() const { return hitfs({"mount", root(), "--layout", "nx"}); }

  // A CI job: `nx ARGUMENTS` below `hitfs run --mount`. `after` is a shell command that runs in it afterwards, with
  // $CACHE as the mount point, whatever nx said.
  Outcome nx(const NxWorkspace& workspace, const std::vector<std::string>& arguments,
             const std::map<std::string, std::string>& environment = {}, const std::string& after = ":") const {
    return run(job(workspace, arguments, environment, after), kLimit);
  }
  Command job(const NxWorkspace& workspace, const std::vector<std::string>& arguments,
              const std::map<std::string, std::string>& environment = {}, const std::string& after = ":") const {
    Command inner = workspace.nx(arguments);
    inner.environment["CI"] = "true";
    inner.environment.erase("NX_CACHE_DIRECTORY");
    for (const auto& [name, value] : environment) inner.environment[name] = value;
    Command command =
        configured({"run", "--mount", root(), "--layout", "nx", "--require", "mount", "--", "sh", "-c",
                    "\"$@\"; code=$?; cp \"$NX_CACHE_DIRECTORY/run.json\" run.json; CACHE=\"$NX_CACHE_DIRECTORY\"; " +
                        after + "; exit $code",
                    "sh"});
    command.arguments.insert(command.arguments.end(), inner.arguments.begin(), inner.arguments.end());
    command.environment.insert(inner.environment.begin(), inner.environment.end());
    command.directory = inner.directory;
    return command;
  }

  void set(const std::string& variable, const std::string& value) { settings_[variable] = value; }

  // Pulls by key, as a prewarm does.
  void pull(const std::vector<std::string>& hashes) const {
    for (const auto& hash : hashes) {
      const Outcome got = hitfs({"get", "--namespace", "nx", hash, folder_ / ("got-" + hash)});
      ASSERT_EQ(got.code, 0) << got.output;
    }
  }

 private:
  Command configured(std::vector<std::string> arguments) const {
    Command command = testing::hitfs(std::move(arguments), folder_);
    command.environment["HITFS_STORE"] = store();
    if (server_ != nullptr) {
      command.environment["HITFS_REMOTE"] = "nx+" + server_->url();
      command.environment["HITFS_TOKEN"] = server_->token();
    }
    command.environment["HITFS_FLUSH"] = command.environment["HITFS_FLUSH_CI"] = "60s";
    command.environment["HITFS_TEST_LAYOUT_NX"] = "1";
    for (const auto& [name, value] : settings_) command.environment[name] = value;
    return command;
  }

  fs::path folder_;
  const TeamServer* server_;
  std::map<std::string, std::string> settings_;
};

class NxDirectory : public ::testing::Test {
 protected:
  void SetUp() override {
    HITFS_NEEDS(find_tool("node", "HITFS_TEST_NODE"), "node", "apt-get install nodejs");
    for (const char* version : kVersions) {
      const auto modules = nx_modules(version);
      HITFS_NEEDS(modules, std::string("nx ") + version, "scripts/test-tools.sh");
    }
  }

  NxWorkspace workspace(const std::string& name, const std::string& version) {
    NxWorkspace made(folder_ / name, *nx_modules(version));
    made.add_shared_directory_plugin();
    return made;
  }

  // Runs again with the outputs gone: they must be there afterwards, wherever they come from.
  void expect_outputs_again(const NxMachine& machine, const NxWorkspace& workspace, const std::string& what,
                            const std::map<std::string, std::string>& environment = {}) {
    const auto before = describe_tree(workspace.dist(), Links::follow);
    fs::remove_all(workspace.dist());
    const Outcome again = machine.nx(workspace, kBuildAll, environment);
    EXPECT_EQ(again.code, 0) << what << "\n" << again.output;
    ASSERT_TRUE(fs::exists(workspace.dist())) << what << ": a hit without files\n" << again.output;
    EXPECT_EQ(describe_tree(workspace.dist(), Links::follow), before) << what << "\n" << again.output;
  }

  TempDir folder_;
  Enclosure enclosure_{folder_.path()};
};

// By version; and what does not depend on it much with the oldest and the newest one.
class NxDirectoryTest : public NxDirectory, public ::testing::WithParamInterface<const char*> {};
// With the oldest and the newest nx only: minutes with all.
class NxDirectoryEndsTest : public NxDirectoryTest {};
class NxDirectoryTurnsTest : public NxDirectory {};

// Written by one version (the parameter), read by each.
TEST_P(NxDirectoryTest, EveryVersionReadsWhatThisOneStored) {
  TeamServer server(folder_ / "server");
  const std::string writer = GetParam();
  const NxWorkspace a = workspace("a", writer);
  {
    const NxMachine machine(folder_ / "machine-a", &server);
    const Outcome built = machine.nx(a, kBuildAll);
    ASSERT_EQ(built.code, 0) << built.output;
    EXPECT_EQ(count(built.output, "\nbuilt "), 3u) << built.output;
    EXPECT_NE(built.output.find("3 pushed"), std::string::npos) << built.output;
    ASSERT_EQ(stop_hitfs(machine.store()).code, 0);
    fs::rename(machine.store(), folder_ / "away");
  }
  const auto hashes = hashes_of(a);
  ASSERT_EQ(hashes.size(), 3u);
  std::string row = "stored by " + writer + ", read by";
  for (const std::string reader : kVersions) {
    const NxMachine machine(folder_ / ("machine-" + reader), &server);
    const NxWorkspace b = workspace("b-" + reader, reader);
    machine.pull(hashes);
    const Outcome restored = machine.nx(b, kBuildAll);
    EXPECT_EQ(restored.code, 0) << writer << " to " << reader << "\n" << restored.output;
    const size_t hits = count(restored.output, "[remote cache]");
    EXPECT_EQ(hits, 3u) << writer << " to " << reader << "\n" << restored.output;
    // 20.8 stores what a link leads to.
    const auto links = writer.starts_with("20.") ? Links::follow : Links::keep;
    const bool same = describe_tree(a.dist(), links) == describe_tree(b.dist(), links);
    EXPECT_TRUE(same) << writer << " to " << reader;
    EXPECT_EQ(count(restored.output, "\nbuilt "), 3u) << "terminal outputs\n" << restored.output;
    row += " " + reader + ": " + std::to_string(hits) + "/3" + (same ? " same" : " DIFFERENT");
  }
  printf("[ table    ] %s\n", row.c_str());
  EXPECT_EQ(enclosure_.mounts(), std::vector<std::string>{});
}

// The files go in every way that a user, a tool or hitfs has; each time the rows must have gone before.
TEST_P(NxDirectoryEndsTest, NeverAHitWithoutItsFiles) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a", GetParam());
  // One mount that stays: what was removed in it stays removed.
  ASSERT_EQ(machine.mount().code, 0);
  const auto first = machine.nx(a, kBuildAll);
  ASSERT_EQ(first.code, 0) << first.output;
  const auto hashes = hashes_of(a);
  ASSERT_EQ(hashes.size(), 3u);
  expect_outputs_again(machine, a, "nothing lost");

  const struct {
    const char* what;
    std::string after;
  } in_the_mount[] = {
      {"rm -rf of every entry", "for d in \"$CACHE\"/[0-9]*; do rm -rf \"$d\"; done"},
      {"one file of each", "for d in \"$CACHE\"/[0-9]*; do find \"$d\" -type f | head -1 | xargs rm; done"},
      {"entries moved away", "for d in \"$CACHE\"/[0-9]*; do mv \"$d\" \"$d.gone\"; done"},
      {"outputs inside moved away", "for d in \"$CACHE\"/[0-9]*; do mv \"$d/dist\" \"$d/gone\"; done"},
      {"everything in the cache folder", "find \"$CACHE\" -mindepth 1 -delete"},
      {"nx reset", "node_modules/.bin/nx reset || :"},
  };
  for (const auto& way : in_the_mount) {
    const Outcome lost = machine.nx(a, kBuildAll, {}, way.after);
    EXPECT_EQ(lost.code, 0) << way.what << lost.output;
    expect_outputs_again(machine, a, way.what);
  }
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
  expect_outputs_again(machine, a, "unmounted and mounted again");
}

TEST_P(NxDirectoryTest, ANewMountKnowsOnlyWhatTheStoreHas) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a", GetParam());
  ASSERT_EQ(machine.nx(a, kBuildAll).code, 0);

  // The index is lost, the databases stay: hitfs begins a new one.
  ASSERT_EQ(stop_hitfs(machine.store()).code, 0);
  for (const char* part : {"index.db", "index.db-wal", "index.db-shm"}) fs::remove(machine.store() / part);
  expect_outputs_again(machine, a, "an index that was lost");

  ASSERT_EQ(stop_hitfs(machine.store()).code, 0);
  fs::remove_all(machine.store());
  expect_outputs_again(machine, a, "a store that was emptied");
}

// nx is killed after each step of a store; the next run must not believe what stands there then.
TEST_P(NxDirectoryEndsTest, AnNxKilledInTheMiddleOfAStoreLeavesNoWrongHit) {
  for (const char* step : {"1", "2", "3"}) {
    const NxMachine machine(folder_ / ("machine-" + std::string(step)));
    const NxWorkspace a = workspace("a" + std::string(step), GetParam());
    const Outcome killed = machine.nx(a, {"run", "core:build"}, {{"HITFS_TEST_STORE_ENDS", step}},
                                      "rm -rf dist; env -u HITFS_TEST_STORE_ENDS \"$@\"; echo second: $?");
    EXPECT_NE(killed.code, 0) << killed.output;
    // Once in the same mount, whose worker sees that the process is dead, and once in the next one.
    EXPECT_NE(killed.output.find("second: 0"), std::string::npos) << step << killed.output;
    EXPECT_TRUE(fs::exists(a.dist() / "core/index.js")) << "in the same mount, step " << step << "\n" << killed.output;
    EXPECT_NE(machine.nx(a, {"run", "ui:build"}, {{"HITFS_TEST_STORE_ENDS", step}}).code, 0);
    fs::remove_all(a.dist());
    const Outcome again = machine.nx(a, {"run", "ui:build"});
    EXPECT_EQ(again.code, 0) << again.output;
    EXPECT_TRUE(fs::exists(a.dist() / "ui/index.js")) << "killed after step " << step << "\n" << again.output;
  }
}

// To 22.6 nx throws the database of another version away, and all of them share one file name: each version in turn
// must find what the first one stored, on one mount that stays.
TEST_F(NxDirectoryTurnsTest, VersionsTakeTurnsOnOneMount) {
  const NxMachine machine(folder_ / "machine");
  ASSERT_EQ(machine.mount().code, 0);
  const NxWorkspace a = workspace("a", "22.6.5");
  const Outcome built = machine.nx(a, kBuildAll);
  ASSERT_EQ(built.code, 0) << built.output;
  ASSERT_EQ(machine.hitfs({"flush"}).code, 0);
  for (const std::string reader : {"21.6.5", "20.8.2", "24.0.6", "22.6.5", "20.8.2"}) {
    static int turn = 0;
    const NxWorkspace b = workspace("turn-" + std::to_string(++turn), reader);
    const Outcome restored = machine.nx(b, kBuildAll);
    EXPECT_EQ(restored.code, 0) << reader << "\n" << restored.output;
    EXPECT_EQ(count(restored.output, "[remote cache]"), 3u) << reader << restored.output;
    EXPECT_EQ(describe_tree(a.dist(), Links::follow), describe_tree(b.dist(), Links::follow)) << reader;
  }
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

// Entries that the store gives up while their mount lives, and nx's own database speaks of them.
TEST_P(NxDirectoryEndsTest, WhatIsEvictedIsBuiltAgain) {
  NxMachine machine(folder_ / "machine");
  machine.set("HITFS_MAX_FILES", "16");
  const NxWorkspace a = workspace("a", GetParam());
  ASSERT_EQ(machine.mount().code, 0);
  const Outcome built = machine.nx(a, kBuildAll);
  ASSERT_EQ(built.code, 0) << built.output;
  ASSERT_EQ(machine.hitfs({"flush"}).code, 0);
  int64_t evicted = 0;
  for (int i = 0; i < 40 && evicted == 0; ++i) {
    std::ofstream(folder_ / "other") << i;
    machine.hitfs({"put", "00000000000000" + std::to_string(10 + i), folder_ / "other"});
    auto status = Json::parse(machine.hitfs({"status", "--json"}).output);
    ASSERT_TRUE(status);
    evicted = std::as_const(*status)["store"]["evicted_entries"].integer_or(0);
  }
  ASSERT_GE(evicted, 1);
  expect_outputs_again(machine, a, "evicted");
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

// With nx's own daemon, which keeps its database open for good.
TEST_P(NxDirectoryEndsTest, NeverAHitWithoutItsFilesWithTheDaemonOfNx) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a", GetParam());
  const std::map<std::string, std::string> daemon = {{"NX_DAEMON", "true"}};
  ASSERT_EQ(machine.mount().code, 0);
  const Outcome built = machine.nx(a, kBuildAll, daemon, "rm -rf \"$CACHE\"/[0-9]*");
  ASSERT_EQ(built.code, 0) << built.output;
  expect_outputs_again(machine, a, "removed in the mount", daemon);
  machine.nx(a, kBuildAll, daemon, "node_modules/.bin/nx daemon --stop || :");
  EXPECT_EQ(machine.hitfs({"unmount", machine.root()}).code, 0);
}

// Two jobs at once, of two workspaces, on one mount: each gets its outputs, whoever is first.
TEST_P(NxDirectoryEndsTest, TwoWorkspacesBuildAtOnceOnOneMount) {
  const NxMachine machine(folder_ / "machine");
  const NxWorkspace a = workspace("a", GetParam());
  const NxWorkspace b = workspace("b", GetParam());
  for (int round = 0; round < 3; ++round) {
    Process one(machine.job(a, kBuildAll));
    Process other(machine.job(b, kBuildAll));
    for (auto* process : {&one, &other}) {
      const Outcome outcome = process->wait(kLimit);
      EXPECT_EQ(outcome.code, 0) << outcome.output;
    }
    EXPECT_EQ(describe_tree(a.dist(), Links::follow), describe_tree(b.dist(), Links::follow));
    ASSERT_TRUE(fs::exists(b.dist()));
    fs::remove_all(a.dist());
    fs::remove_all(b.dist());
  }
}

// A task that failed is nobody else's hit, on this machine as well as on others.
TEST_P(NxDirectoryTest, FailuresStayOnTheirMachine) {
  TeamServer server(folder_ / "server");
  const NxMachine machine(folder_ / "machine", &server);
  const NxWorkspace a = workspace("a", GetParam());
  const Outcome failed = machine.nx(a, {"run", "core:fail"}, {{"NX_CACHE_FAILURES", "true"}});
  EXPECT_EQ(failed.code, 1) << failed.output;
  EXPECT_NE(failed.output.find(" 0 pushed 0 refused 0 failed 0 pending"), std::string::npos) << failed.output;
  const Outcome again = machine.nx(a, {"run", "core:fail"}, {{"NX_CACHE_FAILURES", "true"}});
  EXPECT_EQ(again.code, 1) << again.output;
}

std::string name_of(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = std::string("nx") + info.param;
  std::replace(name.begin(), name.end(), '.', 'x');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Versions, NxDirectoryTest, ::testing::ValuesIn(kVersions), name_of);
INSTANTIATE_TEST_SUITE_P(Versions, NxDirectoryEndsTest, ::testing::Values("20.8.2", "24.0.6"), name_of);

}  // namespace
}  // namespace hitfs::testing
