#pragma once

#include <atomic>
#include <cstdint>

namespace hitfs {

// What pulls do on this machine with what has arrived: writing, checking, committing. A slow disk of ours is not a slow
// remote, so that time is no waiting of a build, unless it stands still: a disk that hangs must not hang a build.
// Part: from any thread; moves(): from one.
class LocalWork {
 public:
  // Work that lasts as long as this object.
  class Part {
   public:
    explicit Part(LocalWork& work) : work_(work) {
      ++work_.under_way_;
      ++work_.changes_;
    }
    ~Part() {
      --work_.under_way_;
      ++work_.changes_;
    }
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;

   private:
    LocalWork& work_;
  };

  // After `still_ticks` ticks in which no part began or ended, what is under way counts as standing still.
  explicit LocalWork(uint64_t still_ticks) : still_ticks_(still_ticks) {}

  // To be asked once per tick.
  [[nodiscard]] bool moves() {
    const uint64_t changes = changes_;
    unchanged_ = changes == seen_ ? unchanged_ + 1 : 0;
    seen_ = changes;
    return under_way_ > 0 && unchanged_ < still_ticks_;
  }

 private:
  const uint64_t still_ticks_;
  std::atomic<uint64_t> under_way_{0}, changes_{0};
  uint64_t seen_ = 0, unchanged_ = 0;
};

}  // namespace hitfs
