#include "tests/fs/mount_harness.h"

#include <gtest/gtest.h>

#include <thread>

#include "store/base/io.h"

namespace hitfs::fs {

namespace {

std::unique_ptr<Layout> four_hex_digits(std::string complete) {
  LayoutOptions layout;
  layout.pattern = "[0-9a-f]{4}";
  layout.complete = std::move(complete);
  return std::move(make_layout(layout).value());
}

}  // namespace

MountHarness::MountHarness(std::string complete) : MountHarness(four_hex_digits(std::move(complete))) {}

MountHarness::MountHarness(std::unique_ptr<Layout> layout)
    : store(dir / "manifests-of-the-fake-store"), daemon(store, StorePaths{dir / "store"}), layout_(std::move(layout)) {
  options.store = StorePaths{dir / "store"};
  options.mount_name = "test";
  options.connection = 1;
  options.clock = &clock;
  options.uid = 1234;
  options.gid = 1234;
  options.boot_id = "boot";
  options.lookup_patience = Milliseconds(20);
  daemon.on_event([this](const DaemonEvent& told) {
    EventBatch batch;
    batch.events.push_back(told);
    auto live = live_.lock();
    if (*live != nullptr) (*live)->on_events(batch);
  });
  start();
}

void MountHarness::start() {
  auto opened = Filesystem::open(options, *layout_, store, daemon, references, notifier);
  ASSERT_TRUE(opened) << opened.error().message;
  filesystem_ = *std::move(opened);
  *live_.lock() = filesystem_.get();
}

Answer<NodeReply> MountHarness::lookup(Number parent, const std::string& name, uint64_t unique) {
  Pending<NodeReply> pending;
  fs().lookup({.unique = unique}, parent, name, pending.reply());
  return pending.get();
}

Answer<NodeReply> MountHarness::create(Number parent, const std::string& name, uint16_t mode, uint64_t unique) {
  Pending<NodeReply> pending;
  fs().create({.unique = unique}, parent, name, mode, pending.reply());
  return pending.get();
}

Answer<NodeReply> MountHarness::make_directory(Number parent, const std::string& name, uint64_t unique) {
  Pending<NodeReply> pending;
  fs().make_directory({.unique = unique}, parent, name, 0755, pending.reply());
  return pending.get();
}

Answer<NodeReply> MountHarness::make_symlink(Number parent, const std::string& name, const std::string& target) {
  Pending<NodeReply> pending;
  fs().make_symlink({}, parent, name, target, pending.reply());
  return pending.get();
}

Answer<Ok> MountHarness::unlink(Number parent, const std::string& name, uint64_t unique) {
  Pending<Ok> pending;
  fs().unlink({.unique = unique}, parent, name, pending.reply());
  return pending.get();
}

Answer<Ok> MountHarness::remove_directory(Number parent, const std::string& name, uint64_t unique) {
  Pending<Ok> pending;
  fs().remove_directory({.unique = unique}, parent, name, pending.reply());
  return pending.get();
}

Answer<Ok> MountHarness::rename(Number parent, const std::string& name, Number new_parent, const std::string& new_name,
                                uint64_t unique, Filesystem::RenameMode mode) {
  Pending<Ok> pending;
  fs().rename({.unique = unique}, parent, name, new_parent, new_name, mode, pending.reply());
  return pending.get();
}

Answer<AttributesReply> MountHarness::attributes(Number number) {
  Pending<AttributesReply> pending;
  fs().get_attributes({}, number, pending.reply());
  return pending.get();
}

Answer<AttributesReply> MountHarness::set(Number number, const AttributeChange& change) {
  Pending<AttributesReply> pending;
  fs().set_attributes({}, number, change, pending.reply());
  return pending.get();
}

Answer<std::string> MountHarness::read(Number number, uint64_t offset, size_t size) {
  auto promise = std::make_shared<std::promise<Answer<std::string>>>();
  fs().read(
      {}, number, size, offset,
      Reply<std::span<const std::byte>>(
          [promise](const std::span<const std::byte>& bytes) { promise->set_value(std::string(io::as_text(bytes))); },
          [promise](FsError error) { promise->set_value(error); }));
  return promise->get_future().get();
}

Answer<size_t> MountHarness::write(Number number, const std::string& bytes, uint64_t offset) {
  Pending<size_t> pending;
  fs().write({}, number, io::as_bytes(bytes), offset, pending.reply());
  return pending.get();
}

Answer<std::string> MountHarness::read_link(Number number) {
  Pending<std::string> pending;
  fs().read_link({}, number, pending.reply());
  return pending.get();
}

Answer<Ok> MountHarness::sync_file(Number number) {
  Pending<Ok> pending;
  fs().sync_file({}, number, pending.reply());
  return pending.get();
}

Answer<Ok> MountHarness::sync_directory(Number number) {
  Pending<Ok> pending;
  fs().sync_directory({}, number, pending.reply());
  return pending.get();
}

std::vector<ListedEntry> MountHarness::list_page(Number number, uint64_t offset, size_t limit, bool plus) {
  CollectingFiller filler(limit, plus);
  Pending<Ok> pending;
  fs().read_directory({}, number, offset, filler, pending.reply());
  EXPECT_TRUE(pending.get());
  return filler.listed();
}

std::vector<std::string> MountHarness::list(Number number, size_t page, bool plus) {
  std::vector<std::string> names;
  uint64_t offset = 0;
  while (true) {
    auto listed = list_page(number, offset, page, plus);
    if (listed.empty()) return names;
    for (const auto& entry : listed) {
      bool dot = entry.name == "." || entry.name == "..";
      if (!dot) names.push_back(entry.name);
      if (plus && !dot && entry.node.handed_out) fs().forget(entry.node.attributes.number, 1);
    }
    offset = listed.back().next_offset;
  }
}

std::vector<Number> MountHarness::walk(const std::string& path) {
  std::vector<Number> numbers;
  size_t begin = 0;
  while (begin < path.size()) {
    size_t slash = std::min(path.find('/', begin), path.size());
    auto node = lookup(numbers.empty() ? kRootNumber : numbers.back(), path.substr(begin, slash - begin));
    if (!node) {
      forget(numbers);
      return {};
    }
    numbers.push_back(node->attributes.number);
    begin = slash + 1;
  }
  return numbers;
}

void MountHarness::forget(const std::vector<Number>& numbers) {
  for (Number number : numbers) fs().forget(number, 1);
}

Number MountHarness::number_at(const std::string& path) {
  auto numbers = walk(path);
  forget(numbers);
  return numbers.empty() ? 0 : numbers.back();
}

Answer<std::string> MountHarness::read_at(const std::string& path) {
  auto numbers = walk(path);
  if (numbers.empty()) return FsError::not_found;
  auto bytes = read(numbers.back());
  forget(numbers);
  return bytes;
}

Number MountHarness::write_file(Number parent, const std::string& name, const std::string& bytes) {
  auto made = create(parent, name);
  EXPECT_TRUE(made);
  Number number = made->attributes.number;
  auto written = write(number, bytes);
  EXPECT_TRUE(written);
  return number;
}

Number MountHarness::complete_file(const std::string& name, const std::string& bytes) {
  Number number = write_file(kRootNumber, "new-" + name, bytes);
  auto renamed = rename(kRootNumber, "new-" + name, kRootNumber, name);
  EXPECT_TRUE(renamed);
  return number;
}

void MountHarness::wait_until_committed() {
  auto synced = sync_directory(kRootNumber);
  EXPECT_TRUE(synced);
  // What an fsync before has made durable in staging is not waited for by this one.
  while (fs().uncommitted() != 0) std::this_thread::yield();
}

void MountHarness::event(DaemonEvent::Kind kind, const Key& of, uint64_t entry_id) {
  EventBatch batch;
  DaemonEvent told;
  told.kind = kind;
  told.key = of;
  told.entry_id = entry_id;
  batch.events.push_back(told);
  fs().on_events(batch);
}

size_t MountHarness::staged_files() const {
  size_t count = 0;
  for (const auto& file : std::filesystem::directory_iterator(staging())) {
    count += file.path().filename().string().find_first_not_of("0123456789") == std::string::npos;
  }
  return count;
}

}  // namespace hitfs::fs
