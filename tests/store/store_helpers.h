#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/entry_store.h"
#include "store/manifest.h"
#include "tests/support/temp_dir.h"

// Short words for tests of the store.
namespace hitfs::testing {

// A TempDir in memory where there is room for it: these tests sync thousands of times.
class FastTempDir {
 public:
  FastTempDir();
  [[nodiscard]] const std::filesystem::path& path() const { return dir_->path(); }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return *dir_ / name; }

 private:
  std::unique_ptr<TempDir> dir_;
};

// A clock that stands still until it is moved. Not for waits.
class StillClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override { return MonotonicTime(Nanoseconds(unix_ns_)); }
  [[nodiscard]] int64_t unix_ns() const override { return unix_ns_; }
  void move(Nanoseconds by) { unix_ns_ += by.count(); }

 private:
  int64_t unix_ns_ = 1'700'000'000'000'000'000;
};

// Path below the entry -> contents.
using Files = std::map<std::string, std::string>;

inline Key flat(std::string name) { return {"", "flat", std::move(name)}; }

// `size` bytes that depend on `seed`.
inline std::string bytes_of(size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  uint32_t state = seed * 2654435761u + 1;
  for (auto& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

// The error's text, for EXPECT messages.
template <typename T>
std::string why(const Result<T>& result) {
  return result ? "no error" : std::string(to_string(result.error().code)) + ": " + result.error().message;
}

Result<Digest> put_blob(EntryIntake& intake, std::string_view bytes);
// Commits a directory with these files (and the folders they need).
Result<Committed> put_tree(EntryStore& store, const Key& key, const Files& files, const CommitOptions& options = {});
Result<Committed> put_artifact(EntryStore& store, const Key& key, std::string_view bytes,
                               const CommitOptions& options = {});
Result<std::string> read_blob(StoreReader& reader, const Digest& digest);
// What a reader sees of an entry: every file with its contents.
Result<Files> read_tree(StoreReader& reader, const Key& key);

// Checks a closed store from end to end, with nothing but its files: rows against manifests, references, packs, bytes
// against digests, counters, and that no file is there that no row names. A line per finding.

std::vector<std::string> check_store(const StorePaths& paths);
#define EXPECT_SOUND(paths) \
  for (const auto& finding : ::hitfs::testing::check_store(paths)) ADD_FAILURE() << finding

}  // namespace hitfs::testing
