#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "fs/numbers.h"

namespace hitfs::fs {

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

// The names that this mount gave in one directory. Each has a sequence number that never comes again; listings go from
// the newest to the oldest, so that one meets every name that stays exactly once and never one that came later: no
// repetition and no endless loop, whatever happens in between and whichever worker answers. Not thread-safe.
class Names {
 public:
  struct Link {
    Number number;
    uint64_t sequence;
  };

  [[nodiscard]] std::optional<Link> find(std::string_view name) const {
    auto found = by_name_.find(name);
    if (found == by_name_.end()) return std::nullopt;
    return found->second;
  }
  void link(std::string_view name, Link link) {
    unlink(name);
    by_name_.emplace(name, link);
    by_sequence_.emplace(link.sequence, name);
  }
  void unlink(std::string_view name) {
    auto found = by_name_.find(name);
    if (found == by_name_.end()) return;
    by_sequence_.erase(found->second.sequence);
    by_name_.erase(found);
  }
  // The newest name that is older than `sequence`; 0 asks for the newest of all.
  struct Listed {
    std::string_view name;  // valid until the next change
    Link link;
  };
  [[nodiscard]] std::optional<Listed> before(uint64_t sequence) const {
    auto found = sequence == 0 ? by_sequence_.begin() : by_sequence_.upper_bound(sequence);
    if (found == by_sequence_.end()) return std::nullopt;
    return Listed{found->second, by_name_.find(found->second)->second};
  }

  // Whether another name has this sequence number.
  [[nodiscard]] bool is_taken(uint64_t sequence, std::string_view name) const {
    auto found = by_sequence_.find(sequence);
    return found != by_sequence_.end() && found->second != name;
  }

  [[nodiscard]] bool empty() const { return by_name_.empty(); }
  [[nodiscard]] size_t size() const { return by_name_.size(); }
  [[nodiscard]] const auto& all() const { return by_name_; }

 private:
  std::unordered_map<std::string, Link, TextHash, std::equal_to<>> by_name_;
  std::map<uint64_t, std::string, std::greater<>> by_sequence_;  // newest first
};

}  // namespace hitfs::fs
