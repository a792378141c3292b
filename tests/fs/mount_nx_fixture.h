#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "store/layouts/nx.h"
#include "tests/fs/mount_harness.h"
#include "tests/fs/nx_databases.h"

// A mount of layout nx without a kernel and without nx.
namespace hitfs::fs {

using Rows = std::set<std::string>;
inline constexpr const char* kWorkspace = ".nx-24.0.6-0123456789abcdef";

inline Key nx_key(const std::string& hash) { return Key{"", "nx", hash}; }

class MountNxTest : public ::testing::Test {
 protected:
  MountNxTest() { mount.daemon.set_up(false); }

  [[nodiscard]] std::filesystem::path folder() const { return mount.options.store.private_folder("test"); }
  [[nodiscard]] std::filesystem::path shared() const { return folder() / "shared-v6.db"; }
  // Looks the workspace's name up, as nx does first: afterwards everything that is here has its row.
  void begin_build() { ASSERT_TRUE(mount.lookup(kRootNumber, kWorkspace)); }
  Entry entry(const std::string& hash, const testing::TreeText& tree = {{"dist/f", "bytes"}}) {
    auto made = mount.store.commit(nx_key(hash), tree);
    mount.event(DaemonEvent::Kind::committed, made.key, made.id);
    return made;
  }
  void retire(const Entry& gone) {
    mount.store.retire(gone.id);
    mount.event(DaemonEvent::Kind::retired, gone.key, gone.id);
  }
  // Rows change on the keeper's thread: a lookup of the workspace waits for it.
  Rows rows() {
    begin_build();
    return nx_rows(shared());
  }

  MountHarness mount{make_nx_layout({}).value()};
};

}  // namespace hitfs::fs
