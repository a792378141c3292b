#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "fs/names/name_record.h"
#include "fs/names/names.h"
#include "store/manifest.h"

namespace hitfs::fs {

// A file, directory or link that this mount made and that is no entry yet. A file's size and times are those of its
// staged file; one without a staged file is empty.
struct StagedFacts {
  FileType type = FileType::file;
  uint16_t mode = 0;
  int64_t mtime_ns = 0;  // of a directory or link, and of a file without a staged file
  std::optional<int64_t> atime_ns;
  uint64_t tree = 0;      // nonzero: frozen in that tree
  uint32_t position = 0;  // in that tree's manifest
};
struct StagedNode : StagedFacts {
  std::string target;  // of a link
  Number parent = 0;   // 0: it has no name any more
  std::string name;
  Names children;  // of a directory; never changes once it is frozen
};

// What this mount changed on a committed or frozen number.
struct OverlayFacts {
  Number data = 0;  // the staged file that has the bytes now; 0: the bytes are as they were
  std::optional<uint16_t> mode;
  std::optional<int64_t> mtime_ns;
  std::optional<int64_t> atime_ns;
};
struct Overlay : OverlayFacts {
  Names names;                                // of a directory: names made in this mount
  std::set<std::string, std::less<>> hidden;  // and those of the entry that are gone in this mount
};

// A complete tree on its way to become an entry. Its nodes never change any more.
struct FrozenTree {
  std::string name;             // at the top
  std::vector<Number> numbers;  // by position; numbers[0] is the tree itself
  bool synced = false;
};

// A name at the top that is "not here": hides the entry of that id and all older ones, and what `tree` becomes.
struct Whiteout {
  uint64_t entry_id = 0;
  uint64_t tree = 0;
};

// A staging number that the kernel still uses although its tree is an entry now.
struct Alias {
  Number target = 0;
  uint64_t entry_id = 0;
  std::shared_ptr<const Names> children;  // of a directory: a listing that began before goes on with their sequence
};

// All names of one mount, as a pure function of the records of names.log: apply() is the only way to change it, live
// and at replay, so that the next worker knows exactly what its predecessor knew. No I/O. Not thread-safe.
class NameTree {
 public:
  // Never fails: what a record names and is not there is ignored, and so is what no worker does (a directory that comes
  // to lie within itself).
  void apply(const NameRecord& record);
  // Records that make a tree like this one out of an empty one.
  void snapshot(const std::function<void(const NameRecord&)>& emit) const;
  // How many records that would be, roughly.
  [[nodiscard]] size_t live_records() const;

  // A number that was never used; it stays used only if a record names it.
  Number take_number() { return next_number_++; }
  uint64_t take_tree() { return next_tree_++; }

  // The committed number behind a staging number whose tree is an entry now; else `number`.
  [[nodiscard]] Number canonical(Number number) const;
  [[nodiscard]] const StagedNode* node(Number number) const;
  // Of a canonical number; null when nothing was changed.
  [[nodiscard]] const Overlay* overlay(Number number) const;

  enum class ChildKind {
    none,
    linked,      // `number` is shown under that name
    hidden,      // gone in this mount
    underneath,  // ask the entry (or for the root: whiteouts, store and remotes)
  };
  struct Child {
    ChildKind kind = ChildKind::none;
    Number number = 0;
    bool own = false;  // linked in this mount, not by a frozen tree
  };
  // `directory` is canonical; a number that is no directory here has `none`.
  [[nodiscard]] Child child(Number directory, std::string_view name) const;
  // The names that this mount gave in a directory; null when there are none.
  [[nodiscard]] const Names* own_names(Number directory) const;
  [[nodiscard]] bool is_hidden(Number directory, std::string_view name) const;

  [[nodiscard]] int64_t root_mtime_ns() const { return root_mtime_ns_; }
  // The root's listing changed without a record (an entry came or went).
  void touch_root(int64_t now_ns) { root_mtime_ns_ = std::max(now_ns, after(root_mtime_ns_)); }
  [[nodiscard]] std::optional<uint16_t> root_mode() const { return root_mode_; }

  [[nodiscard]] const Whiteout* whiteout(std::string_view name) const;
  void drop_whiteout(std::string_view name);

  [[nodiscard]] const std::map<uint64_t, FrozenTree>& trees() const { return trees_; }
  // The link by which a frozen tree is shown at the top; none when its name was removed, or is another's now.
  [[nodiscard]] std::optional<Names::Link> link_of(const FrozenTree& tree) const;
  [[nodiscard]] const std::unordered_map<Number, Alias>& aliases() const { return aliases_; }
  [[nodiscard]] bool has_alias_into(uint64_t entry_id) const { return alias_counts_.contains(entry_id); }
  void drop_alias(Number number);
  // The other numbers under which the kernel may know the same file or directory.
  [[nodiscard]] std::vector<Number> other_numbers(Number number) const;
  // The names that the directory `number` had when it was frozen, if that is how the kernel knows it; else null.
  [[nodiscard]] std::shared_ptr<const Names> frozen_names(Number number) const;

  // Nodes without a name that are in no tree: they go when the kernel lets go.
  [[nodiscard]] const std::unordered_set<Number>& orphans() const { return orphans_; }
  void drop_orphan(Number number);
  // Whether this mount changed something in the range.
  [[nodiscard]] bool has_overlays(uint64_t first, uint64_t span) const {
    auto found = overlays_.lower_bound(first);
    return found != overlays_.end() && found->first < first + span;
  }
  // Whether nothing in the range was removed or written over in this mount.
  [[nodiscard]] bool is_whole(uint64_t first, uint64_t span) const;
  [[nodiscard]] const std::map<Number, Overlay>& overlays() const { return overlays_; }
  // What became of overlays since the last call: staged files without owner, and numbers that look different now.
  struct Dropped {
    std::vector<Number> data;
    std::vector<Number> numbers;
  };
  Dropped take_dropped() { return std::exchange(dropped_, {}); }

  // Staged files that must stay.
  [[nodiscard]] std::unordered_set<Number> data_numbers() const;

  // What the request made, when it was carried out before (0 for nothing).
  [[nodiscard]] std::optional<Number> done(uint64_t unique) const;

  [[nodiscard]] uint64_t connection() const { return connection_; }
  [[nodiscard]] const std::string& boot_id() const { return boot_id_; }
  [[nodiscard]] Number next_number() const { return next_number_; }
  // Smaller ones were made in an earlier mount of this name.
  [[nodiscard]] Number first_of_mount() const { return first_of_mount_; }
  [[nodiscard]] uint64_t next_sequence() const { return next_sequence_; }
  [[nodiscard]] uint64_t next_tree() const { return next_tree_; }

 private:
  using Emit = std::function<void(const NameRecord&)>;
  static int64_t after(int64_t time_ns) { return time_ns == INT64_MAX ? time_ns : time_ns + 1; }
  void add_alias(Number number, Alias alias);
  void begin_session(const NameRecord& record);
  void make_node(const NameRecord& record);
  void link(Number directory, std::string_view name, Number number, uint64_t sequence, int64_t time_ns);
  [[nodiscard]] bool may_link(Number directory, Number number) const;
  [[nodiscard]] bool lies_within(Number directory, Number top) const;
  void leave_name(Number number, const StagedNode& node);
  void unlink(Number directory, std::string_view name, int64_t time_ns);
  void detach(Number number);
  void orphan_below(Names names);
  void hide_pending(Number directory, std::string_view name);
  void remove(const NameRecord& record);
  void rename(const NameRecord& record);
  void change_attributes(const NameRecord& record);
  [[nodiscard]] bool may_freeze(Number root, uint64_t tree) const;
  void freeze(Number root, uint64_t tree, std::string_view name);
  void promote(const NameRecord& record);
  void become_entry(uint64_t tree, uint64_t entry_id);
  void drop_tree(uint64_t tree);
  void keep_changes(Number number, StagedNode& node);
  void thaw(uint64_t tree);
  void drop_overlays(Number first, uint64_t span);
  void remember_done(uint64_t unique, Number number);
  void touch(Number directory, int64_t time_ns);
  Names* names_for_change(Number directory);
  StagedNode* find(Number number);
  Overlay& overlay_for(Number number);

  void emit_names(Number directory, const Names& names, bool in_overlay, const Emit& emit) const;
  void emit_made(Number number, const StagedNode& node, Number parent, std::string_view name, uint64_t sequence,
                 const Emit& emit) const;
  void emit_time(Number number, const Emit& emit) const;
  void emit_nameless(Number number, const Emit& emit) const;
  void emit_overlays(const Emit& emit) const;

  uint64_t connection_ = 0;
  std::string boot_id_;
  Number next_number_ = kFirstStaging;
  Number first_of_mount_ = kFirstStaging;
  uint64_t next_sequence_ = 1;
  uint64_t next_tree_ = 1;

  Names root_;
  int64_t root_mtime_ns_ = 0;
  std::optional<uint16_t> root_mode_;
  std::unordered_map<Number, StagedNode> nodes_;
  std::map<Number, Overlay> overlays_;  // by canonical number, so that an entry's are side by side
  std::map<uint64_t, FrozenTree> trees_;
  std::unordered_map<std::string, Whiteout, TextHash, std::equal_to<>> whiteouts_;
  std::unordered_map<Number, Alias> aliases_;
  std::unordered_multimap<Number, Number> alias_of_;     // the same from the other side: target -> alias
  std::unordered_map<uint64_t, uint64_t> alias_counts_;  // entry -> aliases into it
  std::unordered_set<Number> orphans_;
  Dropped dropped_;

  // A worker has far fewer requests under way than this.
  static constexpr size_t kRememberedRequests = 8192;
  std::unordered_map<uint64_t, Number> done_;
  std::deque<uint64_t> done_order_;
};

}  // namespace hitfs::fs
