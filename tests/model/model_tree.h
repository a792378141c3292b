#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tests/model/operation.h"

namespace hitfs::testing {

struct ModelNode {
  FileType type = FileType::file;
  uint16_t mode = 0644;
  std::optional<int64_t> mtime_ns{};  // when a program has set it, until it changes
  std::string bytes{};                // contents or target
  uint64_t entry = 0;                 // it came with this entry; 0: it belongs to this mount alone
  std::map<std::string, std::shared_ptr<ModelNode>> children{};
};
using NodePtr = std::shared_ptr<ModelNode>;

// What the documents promise of a mount of layout flat that completes by rename (fs/README.md), in memory and without
// any of its means. A name at the top is looked for among the names of this mount, then among what this mount has
// hidden, then in the store, then at a remote. Names that `is_entry` knows can be entries; with none of them it is a
// plain directory.
class ModelTree {
 public:
  using IsEntry = std::function<bool(const std::string&)>;
  // Below a kernel, a file that was open when its tree was completed shows what is changed by its name a moment later:
  // `open_is_doubtful` has the caller close it.
  explicit ModelTree(IsEntry is_entry, bool open_is_doubtful = false)
      : is_entry_(std::move(is_entry)), open_is_doubtful_(open_is_doubtful) {}

  // A remote has this entry, from the beginning to the end.
  void remote_has(const std::string& name, NodePtr tree) { remote_[name] = std::move(tree); }

  Seen apply(const Operation& operation);

  // Slots whose file cannot be told from another one any more; the caller closes them.
  std::vector<size_t> take_doubtful() { return std::exchange(doubtful_, {}); }

  // Steps that look at everything that there is.
  [[nodiscard]] std::vector<Operation> look_at_everything() const;

  // Every path of this type, for whoever chooses the next step.
  [[nodiscard]] std::vector<std::string> paths(FileType type) const;
  [[nodiscard]] bool is_away() const { return away_; }
  [[nodiscard]] bool is_open(size_t slot) const { return slots_[slot] != nullptr; }
  [[nodiscard]] size_t entries() const { return store_.size(); }

 private:
  struct Stored {
    NodePtr original;  // what the entry is
    NodePtr shown;     // what this mount made of it
  };
  struct Place {
    int error = 0;
    NodePtr parent{};  // null: at the top
    std::string name{};
    NodePtr node{};
    [[nodiscard]] bool is_entry() const { return !parent && node && node->entry != 0; }
  };

  [[nodiscard]] NodePtr at_top(const std::string& name) const;
  [[nodiscard]] std::map<std::string, NodePtr> top() const;
  [[nodiscard]] Place locate(const std::string& path) const;
  void pull(const std::string& path);
  void take_away(const Place& place);
  void put(const Place& place, NodePtr node);

  Seen make(const Operation& operation, FileType type);
  Seen change(const Operation& operation);
  static void change_bytes(ModelNode& node, Act act, const Operation& operation);
  Seen remove(const Operation& operation);
  Seen rename(const Operation& operation);
  [[nodiscard]] int may_rename(const Operation& operation, const Place& from, const Place& to) const;
  Seen list(const Operation& operation) const;
  Seen open(const Operation& operation);
  Seen change_open(const Operation& operation);
  Seen disturb(const Operation& operation);

  void complete(const std::string& name, const NodePtr& tree);
  void settle();
  void remount();
  void arrive(const Operation& operation);

  IsEntry is_entry_;
  bool open_is_doubtful_;
  std::map<std::string, NodePtr> own_;       // names of this mount
  std::map<std::string, uint64_t> hidden_;   // entries that are "not here" in this mount
  std::map<std::string, NodePtr> pending_;   // completed, and not in the store yet: what they were at that moment
  std::map<std::string, NodePtr> finished_;  // the same trees as they are shown
  std::map<std::string, Stored> store_;
  std::map<std::string, NodePtr> remote_;
  std::array<NodePtr, kSlots> slots_{};
  std::vector<size_t> doubtful_;
  uint64_t entries_ = 0;
  bool away_ = false;
};

// The tree that an Act::arrive brings.
[[nodiscard]] std::map<std::string, std::string> arriving(const Operation& operation);
// Contents by path, "" for an entry that is one file: as FakeStore takes them.
[[nodiscard]] NodePtr tree_of(const std::map<std::string, std::string>& text);

}  // namespace hitfs::testing
