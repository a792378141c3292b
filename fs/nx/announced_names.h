#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/names/names.h"

namespace hitfs::fs {

// Names of entries that a remote is known to have and that are not here. Bounded: when it is full, what comes is not
// announced. Not thread-safe.
class AnnouncedNames {
 public:
  static constexpr size_t kMost = 50'000;

  enum class State {
    told,      // the daemon named it; no database has a row of it
    promised,  // a row may say that it is there: a lookup asks the remote
    given_up,  // it could not be had; its rows are being removed, and nobody is asked
  };

  void add(const std::string& name) {
    if (names_.size() < kMost) names_.try_emplace(name, State::told);
  }
  void erase(std::string_view name) {
    if (auto found = names_.find(name); found != names_.end()) names_.erase(found);
  }
  // Null for a name that is not announced.
  [[nodiscard]] State* find(std::string_view name) {
    auto found = names_.find(name);
    return found == names_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] std::vector<std::string> all() const {
    std::vector<std::string> all;
    all.reserve(names_.size());
    for (const auto& [name, state] : names_) all.push_back(name);
    return all;
  }

 private:
  std::unordered_map<std::string, State, TextHash, std::equal_to<>> names_;
};

}  // namespace hitfs::fs
