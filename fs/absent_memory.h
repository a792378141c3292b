#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "fs/names/names.h"
#include "store/base/clock.h"

namespace hitfs::fs {

// Which names a remote said "no" to, and until when that is believed. Bounded: when it is full, everything is
// forgotten, which costs questions and no wrong answer. Not thread-safe.
class AbsentMemory {
 public:
  explicit AbsentMemory(const Clock& clock) : clock_(clock) {}

  void remember(std::string_view name, Nanoseconds how_long) {
    if (until_.size() >= kMost) until_.clear();
    until_.insert_or_assign(std::string(name), clock_.now() + how_long);
  }
  [[nodiscard]] bool holds(std::string_view name) {
    auto found = until_.find(name);
    if (found == until_.end()) return false;
    if (clock_.now() < found->second) return true;
    until_.erase(found);
    return false;
  }
  void forget(std::string_view name) {
    if (auto found = until_.find(name); found != until_.end()) until_.erase(found);
  }
  void forget_all() { until_.clear(); }

 private:
  static constexpr size_t kMost = 65536;
  const Clock& clock_;
  std::unordered_map<std::string, MonotonicTime, TextHash, std::equal_to<>> until_;
};

}  // namespace hitfs::fs
