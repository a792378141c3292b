#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sync/remotes/remote.h"
#include "sync/run_list.h"
#include "tests/support/git_repository.h"
#include "tests/support/golden.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"

// Builds on several machines with one team server and one git repository: the real program, real git, and a build that
// is a few lines of shell.
namespace hitfs::testing {

inline constexpr Milliseconds kLimit{60000};

// For each name: asks the endpoint, and stores what it does not have.
inline constexpr const char* kBuild = R"(
for name in $NAMES; do
  url="$NX_SELF_HOSTED_REMOTE_CACHE_SERVER/v1/cache/$name"
  auth="Authorization: Bearer $NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN"
  curl -sf -o /dev/null -H "$auth" "$url" || curl -sf -o /dev/null -H "$auth" -T "$ARTIFACT" "$url" || exit 9
done
)";

class BuildMachines : public ::testing::Test {
 protected:
  void SetUp() override {
    HITFS_NEEDS(find_tool("curl", "HITFS_TEST_CURL"), "curl", "apt-get install curl");
    HITFS_NEEDS(find_tool("git", "HITFS_TEST_GIT"), "git", "apt-get install git");
    server_ = std::make_unique<TeamServer>(folder_ / "server");
    main_.write(".gitignore", ".nx\n");
    main_.write("source", "1");
    one_ = main_.commit("one");
  }
  ~BuildMachines() override {
    for (const auto& store : stores_) stop_hitfs(store, "0s");
  }

  std::filesystem::path store(const std::string& machine) {
    stores_.insert(folder_ / machine / "store");
    return folder_ / machine / "store";
  }
  // `hitfs ARGUMENTS` on a machine, in `folder`.
  Command on(const std::string& machine, std::vector<std::string> arguments, const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder_ / machine);
    Command command = hitfs(std::move(arguments), folder_ / machine);
    command.environment["HITFS_STORE"] = store(machine);
    command.environment["HITFS_REMOTE"] = "nx+" + server_->url();
    command.environment["HITFS_TOKEN"] = server_->token();
    command.environment["CI"] = std::nullopt;
    command.environment["ARTIFACT"] = golden_path("nx-24.0.6.tar.gz");
    command.directory = folder;
    return command;
  }
  // A build of these names below `hitfs run --json FLAGS`, with further lines of shell.
  Command build(const std::string& machine, const GitRepository& work, const std::string& names,
                std::vector<std::string> flags = {}, const std::string& script = "") {
    std::vector<std::string> words{"run", "--json"};
    words.insert(words.end(), flags.begin(), flags.end());
    for (const std::string& word : {std::string("--"), std::string("/bin/sh"), std::string("-c"), script + kBuild}) {
      words.push_back(word);
    }
    Command command = on(machine, words, work.folder());
    command.environment["NAMES"] = names;
    return command;
  }
  // What is on the server under a remote name; "" when nothing is.
  std::string on_server(const std::string& name) {
    auto got =
        run({{"curl", "-sf", "-H", "Authorization: Bearer " + server_->token(), server_->url() + "/v1/cache/" + name},
             {},
             {}},
            kLimit);
    return got.code == 0 ? got.output : "";
  }
  // The body, or "@" and the file that holds it.
  void send_to_server(const std::string& name, const std::string& body) {
    auto done = run({{"curl", "-sf", "-X", "PUT", "--data-binary", body, "-H",
                      "Authorization: Bearer " + server_->token(), server_->url() + "/v1/cache/" + name},
                     {},
                     {}},
                    kLimit);
    ASSERT_EQ(done.code, 0) << name << done.output;
  }
  static std::string part_name(const std::string& commit, uint64_t part) {
    return RemoteKey::of(list_key(commit, part), 0, "nx").name;
  }
  size_t parts_on_server(const std::string& commit) {
    size_t parts = 0;
    while (!on_server(part_name(commit, parts)).empty()) ++parts;
    return parts;
  }
  // A machine that is never seen again.
  void throw_away(const std::string& machine) {
    ASSERT_EQ(stop_hitfs(store(machine)).code, 0);
    std::filesystem::remove_all(folder_ / machine);
  }

  TempDir folder_;
  Enclosure enclosure_{folder_.path()};
  std::set<std::filesystem::path> stores_;
  std::unique_ptr<TeamServer> server_;
  GitRepository main_{folder_ / "main"};
  std::string one_;
};

}  // namespace hitfs::testing
