#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "fs/names/name_tree.h"
#include "fs/nx/announced_names.h"
#include "store/base/clock.h"
#include "store/key.h"
#include "store/manifest.h"

namespace hitfs::fs {

// The draft manifest of a frozen tree; the daemon may take its staged files from here on, so sizes come from it.
struct Draft {
  std::string bytes;
  ManifestView view;
};

// An entry that is no longer found by its key, until the kernel has let go of all its numbers.
struct RetiredEntry {
  std::string name;
  uint32_t span = 1;
  MonotonicTime next_pass{};  // when its names are invalidated again
  Milliseconds pause{5000};
};

// Names that became entries a moment ago: listings go on showing them at their old place, else a listing that began
// before would show them again among the entries. Bounded. A worker that starts has from the log what the one before
// had, because the kernel goes on with listings, and mixes the pieces of several, that the two answered.
class RecentCommits {
 public:
  // Before `record` is applied to `names`, live or at replay.
  void note(const NameTree& names, const NameRecord& record) {
    if (record.op == NameOp::session && (record.value == 0 || record.value != names.connection())) *this = {};
    if (record.op != NameOp::committed) return;
    auto tree = names.trees().find(record.tree);
    if (tree == names.trees().end()) return;
    if (auto link = names.link_of(tree->second)) add(tree->second.name, link->sequence);
  }
  [[nodiscard]] const Names& names() const { return names_; }

 private:
  void add(const std::string& name, uint64_t sequence) {
    names_.link(name, {0, sequence});
    order_.emplace_back(name, sequence);
    if (order_.size() <= kMost) return;
    auto link = names_.find(order_.front().first);
    if (link && link->sequence == order_.front().second) names_.unlink(order_.front().first);
    order_.pop_front();
  }

  static constexpr size_t kMost = 4096;
  Names names_;
  std::deque<std::pair<std::string, uint64_t>> order_;
};

// The names at which listings of the root stopped last, in case the entry is gone when they go on. Bounded.
class Bookmarks {
 public:
  void add(uint64_t entry_id, const std::string& name) {
    if (names_.size() >= kMost) names_.erase(names_.begin());
    names_[entry_id] = name;
  }
  [[nodiscard]] std::optional<std::string> find(uint64_t entry_id) const {
    auto found = names_.find(entry_id);
    if (found == names_.end()) return std::nullopt;
    return found->second;
  }

 private:
  static constexpr size_t kMost = 1024;
  std::map<uint64_t, std::string> names_;
};

// Entries whose release was announced: a lookup that found one a moment before must not hand it out any more. Bounded;
// the index does not show them for longer than a moment anyway.
class ReleasedEntries {
 public:
  void add(uint64_t entry_id) {
    if (!ids_.insert(entry_id).second) return;
    order_.push_back(entry_id);
    if (order_.size() <= kMost) return;
    ids_.erase(order_.front());
    order_.pop_front();
  }
  [[nodiscard]] bool contains(uint64_t entry_id) const { return ids_.contains(entry_id); }

 private:
  static constexpr size_t kMost = 4096;
  std::unordered_set<uint64_t> ids_;
  std::deque<uint64_t> order_;
};

// A tree that a tool has set aside for a moment.
struct StoreAside {
  pid_t pid = 0;          // of the tool; 0 when it is not known
  MonotonicTime until{};  // then the store counts as broken off, if it is not known
};

// An entry whose row nx may see: it is shown until that row is gone, and a while longer, because nx reads the row a
// moment before the files.
struct PublishedEntry {
  uint64_t entry_id = 0;
  enum class State {
    shown,  // it is the entry of its name
    going,  // retired; its rows are being removed
    stuck,  // they could not be removed; to be tried again at `until`
    gone,   // they are gone; hidden at `until`
  } state = State::shown;
  MonotonicTime until{};
};

// What a mount knows, all behind one lock that is never held during I/O.
struct MountState {
  NameTree names;
  std::unordered_map<Number, uint32_t> writing;                       // writes under way, by staged file
  std::unordered_set<Number> copying;                                 // canonical numbers that are being copied up
  std::unordered_set<Number> unwritten;                               // staged files, since note_writes()
  std::unordered_map<uint64_t, std::shared_ptr<const Draft>> drafts;  // by tree
  std::unordered_map<uint64_t, RetiredEntry> retired;
  ReleasedEntries released;
  RecentCommits recent_commits;
  Bookmarks bookmarks;
  std::unordered_map<std::string, MonotonicTime> damage_reports;                         // by key: when
  std::unordered_map<std::string, PublishedEntry, TextHash, std::equal_to<>> published;  // by name
  AnnouncedNames announced;
  std::set<uint64_t> lingering;                              // retired entries that are published
  std::map<std::string, StoreAside> asides;                  // by the name that a tree has while it is being stored
  std::map<std::string, MonotonicTime, std::less<>> missed;  // entry names that were looked up in vain just now: until
  std::unordered_set<std::string> without_rows;  // names below which something was removed, after their rows
  std::unordered_map<uint64_t, Key> uses;        // entries answered since the last report
};

}  // namespace hitfs::fs
