#pragma once

#include <array>
#include <atomic>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/drills/checked_calls.h"

namespace hitfs::testing {

// The entries that all threads of a load look at, none of which anybody changes: a tree that is in the store, and files
// that only the remote has until somebody asks.
struct SharedEntries {
  std::string tree;                // its name; the files are "0", "1", ...
  std::vector<std::string> files;  // their bytes
  std::vector<std::string> remote_names;
  std::vector<std::string> remote_bytes;
};

// What the threads know together about the entries of the remote, for memory that they share.
struct RemoteTally {
  static constexpr size_t kMost = 256;
  std::array<std::atomic<bool>, kMost> here{};  // somebody has seen it: from then on it must be here
  std::atomic<uint64_t> found = 0;
  std::atomic<uint64_t> missed = 0;  // looks that ended with a miss although the remote has it: allowed, and counted
};

// One thread at the top of a mount of layout flat: reads the shared entries, saves entries of its own, looks for what
// nobody has. Every call is checked.
class ModelEntries {
 public:
  // `number` is the thread's own among all that ever use this store.
  ModelEntries(CheckedCalls& calls, const SharedEntries& shared, RemoteTally& remote, std::filesystem::path mount,
               unsigned number)
      : calls_(calls), shared_(shared), remote_(remote), mount_(std::move(mount)), number_(number), random_(number) {}

  bool step();
  // What it saved is there.
  bool holds();

 private:
  using Path = std::filesystem::path;

  bool read_tree();
  bool list_tree();
  bool look_at_remote();
  bool look_for_nothing();
  bool save();
  bool save_tree();
  bool read_saved();
  bool remove_saved();
  bool list_mount();

  unsigned any(size_t below) { return static_cast<unsigned>(random_() % below); }
  std::string new_name();
  std::string bytes_of(const std::string& name, size_t size);
  bool write_new(const Path& path, const std::string& bytes);

  CheckedCalls& calls_;
  const SharedEntries& shared_;
  RemoteTally& remote_;
  Path mount_;
  unsigned number_;
  std::mt19937 random_;
  unsigned names_ = 0;
  std::map<std::string, std::string> saved_;  // "name" or "name/out" -> bytes
};

}  // namespace hitfs::testing
