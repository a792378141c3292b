// An nx that nobody led into the mount keeps its own database in its workspace. Its rows go before their files, too.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "fs/nx/outside_databases.h"
#include "fs/nx/own_database.h"
#include "store/layouts/nx.h"
#include "tests/fs/mount_harness.h"
#include "tests/fs/nx_databases.h"
#include "tests/support/process.h"

namespace hitfs::fs {
namespace {

namespace stdfs = std::filesystem;
using Rows = std::set<std::string>;

// A process in a folder, for what /proc says of it.
class Somebody {
 public:
  explicit Somebody(const stdfs::path& folder, std::map<std::string, std::optional<std::string>> environment = {})
      : process_({{"sh", "-c", "echo there; sleep 1000; :"}, with_none(std::move(environment)), folder}) {
    while (process_.output().empty() && process_.running()) ::usleep(1000);
  }
  [[nodiscard]] pid_t pid() const { return process_.pid(); }

 private:
  static std::map<std::string, std::optional<std::string>> with_none(
      std::map<std::string, std::optional<std::string>> environment) {
    environment.emplace("NX_WORKSPACE_DATA_DIRECTORY", std::nullopt);
    return environment;
  }
  testing::Process process_;
};

class NxOutsideTest : public ::testing::Test {
 protected:
  NxOutsideTest() {
    stdfs::create_directories(workspace() / "packages/app");
    std::ofstream(workspace() / "nx.json") << "{}";
    stdfs::create_directories(own().parent_path());
    mount.daemon.set_up(false);
  }
  [[nodiscard]] stdfs::path workspace() const { return mount.dir / "workspace"; }
  [[nodiscard]] stdfs::path own() const { return workspace() / ".nx/workspace-data/machine-v6.db"; }

  Entry entry(const std::string& hash) {
    auto made = mount.store.commit(Key{"", "nx", hash}, {{"dist/f", "bytes"}});
    mount.event(DaemonEvent::Kind::committed, made.key, made.id);
    return made;
  }
  void opens_the_shared_database(pid_t pid) {
    Pending<NodeReply> pending;
    mount.fs().lookup({.pid = pid}, kRootNumber, "shared-v6.db", pending.reply());
    auto link = pending.get();
    ASSERT_TRUE(link);
    EXPECT_EQ(link->entry_timeout, Nanoseconds(0)) << "or the next nx is not seen";
  }
  void begins_a_store(pid_t pid, const std::string& hash) {
    Pending<NodeReply> pending;
    mount.fs().make_directory({.pid = pid}, kRootNumber, hash, 0755, pending.reply());
    ASSERT_TRUE(pending.get());
  }
  // Until the keeper has done what was asked for before.
  void settle() { ASSERT_TRUE(mount.lookup(kRootNumber, ".nx-24.0.6-0123456789abcdef")); }

  MountHarness mount{make_nx_layout({}).value()};
};

TEST_F(NxOutsideTest, TheFolderIsWhereThatProcessHasIt) {
  const stdfs::path mount_point = "/mnt/cache";
  auto folder_of = [&](const Somebody& one) { return own_database_folder(one.pid(), mount_point).value(); };
  Somebody plain(workspace()), deep(workspace() / "packages/app");
  EXPECT_EQ(folder_of(plain), workspace() / ".nx/workspace-data");
  EXPECT_EQ(folder_of(deep), workspace() / ".nx/workspace-data");
  Somebody named(workspace(), {{"NX_WORKSPACE_DATA_DIRECTORY", "/elsewhere/data/"}});
  EXPECT_EQ(folder_of(named), stdfs::path("/elsewhere/data/"));
  Somebody relative(workspace() / "packages", {{"NX_WORKSPACE_DATA_DIRECTORY", "data"}});
  EXPECT_EQ(folder_of(relative), workspace() / "data");
  Somebody led(workspace(), {{"NX_WORKSPACE_DATA_DIRECTORY", "/mnt/cache/.nx-24.0.6-0123456789abcdef"}});
  EXPECT_EQ(folder_of(led), std::nullopt);
  Somebody no_nx(mount.dir.path());
  EXPECT_EQ(folder_of(no_nx), std::nullopt);
  EXPECT_EQ(own_database_folder(0, mount_point).error().code, Code::unavailable);
}

TEST_F(NxOutsideTest, BareRowsGoBeforeItsFirstLookAndTheOthersBeforeTheirFiles) {
  make_nx_database(own(), NxShape::with_mark);
  for (const char* hash : {"1", "2", "3"}) add_nx_row(own(), hash, 0);
  auto first = entry("1");
  entry("2");
  Somebody nx(workspace());
  opens_the_shared_database(nx.pid());
  EXPECT_EQ(nx_rows(own()), (Rows{"1:0", "2:0"})) << "3 has no files here";

  ASSERT_TRUE(mount.unlink(mount.number_at("2/dist"), "f"));
  EXPECT_EQ(nx_rows(own()), (Rows{"1:0"}));
  settle();
  mount.store.retire(first.id);
  mount.event(DaemonEvent::Kind::retired, first.key, first.id);
  settle();
  EXPECT_EQ(nx_rows(own()), Rows{});
}

TEST_F(NxOutsideTest, AnNxWithoutThePluginIsSeenWhenItStores) {
  make_nx_database(own(), NxShape::with_mark);
  Somebody nx(workspace());
  begins_a_store(nx.pid(), "1");
  mount.write_file(mount.number_at("1"), "out", "result");
  settle();
  add_nx_row(own(), "1", 0);
  ASSERT_TRUE(mount.unlink(mount.number_at("1"), "out"));
  EXPECT_EQ(nx_rows(own()), Rows{});
}

TEST_F(NxOutsideTest, TheNextWorkerKnowsItAndWhenTheMountGoesNoRowStays) {
  make_nx_database(own(), NxShape::with_mark);
  entry("1");
  Somebody nx(workspace());
  opens_the_shared_database(nx.pid());
  mount.stop();
  add_nx_row(own(), "1", 0);
  add_nx_row(own(), "2", 0);
  mount.start();
  EXPECT_EQ(nx_rows(own()), (Rows{"1:0"}));
  mount.fs().leave();
  EXPECT_EQ(nx_rows(own()), Rows{});
}

TEST_F(NxOutsideTest, ADatabaseThatCannotBeReadIsLeftAloneAndKeepsNoMountFromStarting) {
  std::ofstream(own()) << std::string(8192, 'x');
  Somebody nx(workspace());
  opens_the_shared_database(nx.pid());
  mount.restart();
  EXPECT_EQ(stdfs::file_size(own()), 8192u);
}

TEST(OutsideDatabasesTest, IsRememberedAndBounded) {
  testing::TempDir folder;
  const auto list = folder / "outside";
  OutsideDatabases first(list);
  ASSERT_TRUE(first.load()) << "there is none yet";
  for (size_t i = 0; i < OutsideDatabases::kMost; ++i) {
    auto one = folder / ("data " + std::to_string(i) + "\n");
    stdfs::create_directory(one);
    ASSERT_TRUE(first.add(one));
  }
  EXPECT_FALSE(first.add(folder / "one more"));
  stdfs::remove(folder / "data 7\n");
  EXPECT_TRUE(first.add(folder / "one more")) << "one is gone";
  OutsideDatabases second(list);
  ASSERT_TRUE(second.load());
  EXPECT_TRUE(second.knows(folder / "data 8\n"));
  EXPECT_FALSE(second.knows(folder / "data 7\n"));
  std::ofstream(folder / "data 8\n" / "m.db") << "";
  stdfs::create_symlink("/etc/passwd", folder / "data 9\n" / "m.db");
  EXPECT_EQ(second.databases(), std::vector<stdfs::path>{folder / "data 8\n" / "m.db"});
}

}  // namespace
}  // namespace hitfs::fs
