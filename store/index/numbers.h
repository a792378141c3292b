#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "store/base/guarded.h"
#include "store/base/result.h"

namespace hitfs {

// Gives out the numbers of entries and packs; none is ever given twice in the life of a store, whatever happens to its
// index. They are reserved in blocks in the file `high-water`, which is on disk before the first of a block is used;
// what a process did not use of its block is skipped by the next one. Safe from several threads.
class Numbers {
 public:
  // Committed numbers; below are the mounts' own ranges. All stay far below 2^53, which JSON and Python can hold.
  static constexpr uint64_t kFirst = 1ull << 32;
  static constexpr uint64_t kEnd = 1ull << 52;
  static constexpr uint64_t kBlock = 1ull << 20;

  // Starts at the high-water mark or at `at_least`, whichever is higher. A missing file is fine; a damaged one is
  // `corrupt`; with `forget_file` it counts as missing, and `at_least` must then say how far numbers were used.
  enum class Damage { refuse, forget_file };
  static Result<std::unique_ptr<Numbers>> open(std::filesystem::path file, uint64_t at_least, Damage damage);

  // Nothing below `number` is given out any more.
  void start_at(uint64_t number);

  // The first of `count` numbers in a row.
  Result<uint64_t> take(uint64_t count);

 private:
  struct State {
    uint64_t next = kFirst;
    uint64_t reserved = kFirst;  // what the file says
  };
  explicit Numbers(std::filesystem::path file, uint64_t next) : file_(std::move(file)), state_(State{next, next}) {}

  const std::filesystem::path file_;
  Guarded<State> state_;
};

}  // namespace hitfs
