#pragma once

#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fs/answer.h"
#include "fs/filesystem.h"
#include "store/base/guarded.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_daemon.h"
#include "tests/support/fake_store.h"
#include "tests/support/temp_dir.h"

namespace hitfs::fs {

// As the shared table: outlives the workers of a test. Safe from several threads.
class FakeReferences final : public References {
 public:
  void add(uint64_t holder, uint64_t count) override { (*counts_.lock())[holder] += count; }
  void drop(uint64_t holder, uint64_t count) override {
    auto counts = counts_.lock();
    auto& here = (*counts)[holder];
    here -= std::min(here, count);
  }
  [[nodiscard]] uint64_t count(uint64_t holder) const override {
    auto counts = counts_.lock();
    auto found = counts->find(holder);
    return found == counts->end() ? 0 : found->second;
  }
  void clear() { counts_.lock()->clear(); }

 private:
  mutable Guarded<std::map<uint64_t, uint64_t>> counts_;
};

class FakeNotifier final : public KernelNotifier {
 public:
  void invalidate_name(Number parent, const std::string& name) override {
    names_.lock()->insert({parent, name});
    names_.notify_all();
  }
  void invalidate_number(Number number) override { numbers_.lock()->insert(number); }
  [[nodiscard]] bool heard(Number parent, const std::string& name) { return names_.lock()->contains({parent, name}); }
  void wait_for(Number parent, const std::string& name) {
    auto names = names_.lock();
    names.wait({}, [&](const auto& heard) { return heard.contains({parent, name}); });
  }
  [[nodiscard]] bool heard_number(Number number) { return numbers_.lock()->contains(number); }
  void clear() { names_.lock()->clear(); }

 private:
  Guarded<std::set<std::pair<Number, std::string>>> names_;
  Guarded<std::set<Number>> numbers_;
};

// The answer to a request, whenever it comes.
template <typename T>
class Pending {
 public:
  Pending() : state_(std::make_shared<Shared>()) {}
  Reply<T> reply() {
    auto state = state_;
    return Reply<T>([state](const T& value) { state->promise.set_value(Answer<T>(value)); },
                    [state](FsError error) { state->promise.set_value(Answer<T>(error)); });
  }
  Answer<T> get() { return state_->future.get(); }
  bool is_ready() { return state_->future.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

 private:
  struct Shared {
    std::promise<Answer<T>> promise;
    std::future<Answer<T>> future = promise.get_future();
  };
  std::shared_ptr<Shared> state_;
};

struct ListedEntry {
  std::string name;
  NodeReply node;
  uint64_t next_offset;
};

// Takes `limit` names.
class CollectingFiller final : public DirectoryFiller {
 public:
  CollectingFiller(size_t limit, bool plus) : limit_(limit), plus_(plus) {}
  bool add(std::string_view name, const NodeReply& node, uint64_t next_offset) override {
    if (listed_.size() == limit_) return false;
    listed_.push_back({std::string(name), node, next_offset});
    return true;
  }
  [[nodiscard]] bool counts_references() const override { return plus_; }
  [[nodiscard]] const std::vector<ListedEntry>& listed() const { return listed_; }

 private:
  size_t limit_;
  bool plus_;
  std::vector<ListedEntry> listed_;
};

// A mount on a FakeStore and a FakeDaemon, spoken to as the kernel would, with its workers ended and begun at will.
// Entries of the layout are names of four hex digits.
class MountHarness {
 public:
  explicit MountHarness(std::string complete = "rename");
  explicit MountHarness(std::unique_ptr<Layout> layout);
  ~MountHarness() { stop(); }

  void start();
  void stop() {
    *live_.lock() = nullptr;
    filesystem_.reset();
  }
  // What a new worker of the same mount finds.
  void restart() {
    stop();
    start();
  }
  // The mount is unmounted and mounted again: the kernel knows nothing any more.
  void remount() {
    stop();
    references.clear();
    ++options.connection;
    start();
  }
  Filesystem& fs() { return *filesystem_; }

  Answer<NodeReply> lookup(Number parent, const std::string& name, uint64_t unique = 0);
  Answer<NodeReply> create(Number parent, const std::string& name, uint16_t mode = 0644, uint64_t unique = 0);
  Answer<NodeReply> make_directory(Number parent, const std::string& name, uint64_t unique = 0);
  Answer<NodeReply> make_symlink(Number parent, const std::string& name, const std::string& target);
  Answer<Ok> unlink(Number parent, const std::string& name, uint64_t unique = 0);
  Answer<Ok> remove_directory(Number parent, const std::string& name, uint64_t unique = 0);
  Answer<Ok> rename(Number parent, const std::string& name, Number new_parent, const std::string& new_name,
                    uint64_t unique = 0, Filesystem::RenameMode mode = Filesystem::RenameMode::replace);
  Answer<AttributesReply> attributes(Number number);
  Answer<AttributesReply> set(Number number, const AttributeChange& change);
  Answer<AttributesReply> resize(Number number, uint64_t size) { return set(number, {.size = size}); }
  Answer<std::string> read(Number number, uint64_t offset = 0, size_t size = 1 << 20);
  Answer<size_t> write(Number number, const std::string& bytes, uint64_t offset = 0);
  Answer<std::string> read_link(Number number);
  Answer<Ok> sync_file(Number number);
  Answer<Ok> sync_directory(Number number);
  // One page.
  std::vector<ListedEntry> list_page(Number number, uint64_t offset, size_t limit, bool plus = false);
  // All names but "." and "..".
  std::vector<std::string> list(Number number, size_t page = 7, bool plus = false);

  // The numbers of a path's names, handed out; none when there is no such path.
  std::vector<Number> walk(const std::string& path);
  void forget(const std::vector<Number>& numbers);
  // Number of the file or directory at `path` below the root; 0 when there is none. The references are given back.
  Number number_at(const std::string& path);
  Answer<std::string> read_at(const std::string& path);
  // mkdir, create and write; returns the number.
  Number write_file(Number parent, const std::string& name, const std::string& bytes);
  // Writes `bytes` to a temporary name and renames it to the entry name.
  Number complete_file(const std::string& name, const std::string& bytes);
  // Until the daemon has committed everything.
  void wait_until_committed();
  void event(DaemonEvent::Kind kind, const Key& key, uint64_t entry_id);

  static Key key(const std::string& name) { return Key{"", "flat", name}; }
  [[nodiscard]] std::filesystem::path staging() const { return options.store.staging(options.mount_name); }
  [[nodiscard]] size_t staged_files() const;

  testing::TempDir dir;
  testing::FakeClock clock;
  FilesystemOptions options;
  testing::FakeStore store;
  testing::FakeDaemon daemon;
  FakeReferences references;
  FakeNotifier notifier;

 private:
  std::unique_ptr<Layout> layout_;
  std::unique_ptr<Filesystem> filesystem_;
  Guarded<Filesystem*> live_;  // for events on the daemon's threads; locked while one is told
};

}  // namespace hitfs::fs
