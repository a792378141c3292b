// Bytes and attributes: reading, writing, and the copy-up that keeps committed and frozen numbers unwritten.
#include <algorithm>
#include <future>

#include "fs/mount_filesystem.h"
#include "fs/request_progress.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr size_t kPiece = 1 << 20;
// A read that waits for the daemon to say where it put a file, and an fsync of the directory that waits for a commit.
constexpr Milliseconds kMovedPatience{5000};
constexpr Milliseconds kSyncPatience{5000};

// Each thread's own; a reply's span points into it during the reply.
std::span<std::byte> read_buffer(size_t size) {
  thread_local std::vector<std::byte> buffer;
  constexpr size_t kMost = 4 << 20;
  size = std::min(size, kMost);
  if (buffer.size() < size) buffer.resize(size);
  return std::span(buffer).first(size);
}

}  // namespace

// Bytes of what lies below this mount's overlay.
Answer<size_t> MountFilesystem::read_lower(Number number, std::span<std::byte> into, uint64_t offset) {
  bool moved = false;
  auto facts = known(number);
  facts.changed.reset();
  if (!facts.staged) {
    if (!is_committed(facts.number)) return FsError::not_found;
    auto node = committed_.node(facts.number);
    auto got = node ? committed_.read(*node, into, offset) : Result<size_t>(std::move(node).error());
    if (got) return *got;
    report_damage(facts.number, got.error());
    return FsError::io;
  }
  auto got = staged_.read(facts.number, into, offset);
  if (got) return *got;
  if (got.error().code != Code::not_found) return FsError::io;
  // No staged file: it is empty, or the daemon has taken it.
  moved = facts.draft && facts.draft->view.at(facts.staged->position).size > 0;
  if (!moved && facts.staged->tree == 0) return size_t{0};
  auto again = known(number);
  if (!again.staged) return read_lower(number, into, offset);
  return moved ? Answer<size_t>(FsError::busy) : Answer<size_t>(size_t{0});
}

// `busy` when the daemon has taken the file and has not said yet where it is.
Answer<size_t> MountFilesystem::read_bytes(Number number, std::span<std::byte> into, uint64_t offset) {
  auto facts = known(number);
  if (!facts.changed || facts.changed->data == 0) return read_lower(number, into, offset);
  auto got = staged_.read(facts.changed->data, into, offset);
  if (got) return *got;
  if (got.error().code != Code::not_found) return FsError::io;
  // The overlay was dropped between the two steps: then the bytes below are the same.
  auto now = known(number);
  bool dropped = !now.changed || now.changed->data != facts.changed->data;
  return dropped ? read_lower(number, into, offset) : Answer<size_t>(size_t{0});
}

void MountFilesystem::read(const Caller&, Number number, size_t size, uint64_t offset,
                           Reply<std::span<const std::byte>> reply) {
  auto buffer = read_buffer(size);
  auto got = read_bytes(number, buffer, offset);
  if (got) return reply.send(buffer.first(*got));
  if (got.error() == FsError::busy) return read_again_later(number, size, offset, std::move(reply));
  reply.fail(got.error());
}

// Calls `then` when the daemon has said where it put the file, or does not say so in time.
void MountFilesystem::when_moved(Number number, std::function<void()> then) {
  auto facts = known(number);
  std::set<uint64_t> trees;
  if (facts.staged) trees.insert(facts.staged->tree);
  commits_->when_settled(std::move(trees), kMovedPatience, [then = std::move(then)](bool) { then(); });
}

void MountFilesystem::read_again_later(Number number, size_t size, uint64_t offset,
                                       Reply<std::span<const std::byte>> reply) {
  auto waiting = std::make_shared<Reply<std::span<const std::byte>>>(std::move(reply));
  when_moved(number, [this, number, size, offset, waiting] {
    auto buffer = read_buffer(size);
    auto got = read_bytes(number, buffer, offset);
    if (got) return waiting->send(buffer.first(*got));
    waiting->fail(FsError::io);
  });
}

// As read_lower(), on a thread that may wait.
Answer<size_t> MountFilesystem::read_lower_patiently(Number number, std::span<std::byte> into, uint64_t offset) {
  auto got = read_lower(number, into, offset);
  if (got || got.error() != FsError::busy) return got;
  auto moved = std::make_shared<std::promise<void>>();
  when_moved(number, [moved] { moved->set_value(); });
  moved->get_future().wait();
  got = read_lower(number, into, offset);
  return got || got.error() != FsError::busy ? got : Answer<size_t>(FsError::io);
}

// Finds the staged file that a write to `number` goes to, copying up the first `keep` bytes if it has none yet. Until
// end_write() the file is not handed over.
Answer<Number> MountFilesystem::begin_write(Number number, uint64_t keep) {
  while (true) {
    Number canonical = 0;
    {
      auto state = state_.lock();
      bool free = state.wait(stopping_.get_token(), [&](const MountState& now) {
        note_progress();
        return !now.copying.contains(now.names.canonical(number));
      });
      if (!free) return FsError::io;
      canonical = state->names.canonical(number);
      const auto* node = state->names.node(canonical);
      if (node == nullptr && !is_committed(canonical)) return FsError::not_found;
      if (node != nullptr && node->type == FileType::directory) return FsError::is_directory;
      if (node != nullptr && node->type == FileType::symlink) return FsError::invalid;
      if (Number data = data_written(*state, canonical); data != 0) {
        ++state->writing[data];
        state->unwritten.erase(data);
        return data;
      }
      state->copying.insert(canonical);
    }
    auto copied = copy_up(canonical, keep);
    state_.lock()->copying.erase(canonical);
    state_.notify_all();
    if (!copied) return copied.error();
  }
}

void MountFilesystem::end_write(Number data) {
  bool last = false;
  {
    auto state = state_.lock();
    auto found = state->writing.find(data);
    last = --found->second == 0;
    if (last) state->writing.erase(found);
  }
  if (last) state_.notify_all();
}

Answer<Ok> MountFilesystem::copy_up(Number number, uint64_t keep) {
  auto facts = known(number);
  if (!facts.staged) {
    auto node = committed_.node(facts.number);
    if (!node) {
      report_damage(facts.number, node.error());
      return FsError::io;
    }
    if (node->record().type == FileType::directory) return FsError::is_directory;
    if (node->record().type != FileType::file) return FsError::invalid;
  }
  Number data = 0;
  {
    // Writes that began before the tree was frozen belong to it.
    auto state = state_.lock();
    bool still =
        state.wait(stopping_.get_token(), [&](const MountState& now) { return !now.writing.contains(number); });
    if (!still) return FsError::io;
    data = state->names.take_number();
  }
  auto copied = copy_bytes(number, data, keep);
  if (copied) {
    auto log = log_.lock();
    auto record = record_for({}, NameOp::copy_up);
    record.value = data;
    {
      auto state = state_.lock();
      record.number = state->names.canonical(number);
      const auto* changed = state->names.overlay(record.number);
      // The tree became an entry meanwhile and somebody else copied it up under its new number.
      if (changed != nullptr && changed->data != 0) record.number = 0;
    }
    if (record.number != 0) {
      auto done = change(log, record);
      if (done) return Ok{};
      copied = disk_error(done.error());
    }
  }
  if (auto removed = staged_.remove(data); !removed) {
    kLog.warn("staging remove number={} error={}", data, removed.error().message);
  }
  return copied;
}

Answer<Ok> MountFilesystem::copy_bytes(Number from, Number to, uint64_t keep) {
  if (auto made = staged_.truncate(to, 0); !made) return disk_error(made.error());
  std::vector<std::byte> piece(std::min<uint64_t>(keep, kPiece));
  for (uint64_t offset = 0; offset < keep;) {
    if (stopping_.stop_requested()) return FsError::io;
    auto wanted = std::span(piece).first(std::min<uint64_t>(piece.size(), keep - offset));
    auto got = read_lower_patiently(from, wanted, offset);
    if (!got) return got.error();
    if (*got == 0) break;
    auto written = staged_.write(to, std::span(piece).first(*got), offset);
    if (!written) return disk_error(written.error());
    offset += *got;
    note_progress();
    // Who waits for this copy gets on as well.
    state_.notify_all();
  }
  return Ok{};
}

void MountFilesystem::write(const Caller&, Number number, std::span<const std::byte> bytes, uint64_t offset,
                            Reply<size_t> reply) {
  auto data = begin_write(number, UINT64_MAX);
  if (!data) return reply.fail(data.error());
  auto written = staged_.write(*data, bytes, offset);
  end_write(*data);
  if (!written) return reply.fail(disk_error(written.error()));
  tell_other_numbers(number);
  reply.send(bytes.size());
}

// A file that was open when its tree became an entry has two numbers, and the kernel keeps pages and attributes for
// each: what was changed under one of them is to be asked for anew under the other.
void MountFilesystem::tell_other_numbers(Number number) {
  auto others = state_.lock()->names.other_numbers(number);
  for (Number other : others) notifier_.invalidate_number(other);
}

Answer<Ok> MountFilesystem::resize(Number number, uint64_t size) {
  auto data = begin_write(number, size);
  if (!data) return data.error();
  auto done = staged_.truncate(*data, size);
  end_write(*data);
  if (!done) return disk_error(done.error());
  return Ok{};
}

Answer<Ok> MountFilesystem::record_attributes(NameRecord record) {
  auto log = log_.lock();
  {
    auto state = state_.lock();
    record.number = state->names.canonical(record.number);
  }
  if (auto done = change(log, record); !done) return disk_error(done.error());
  return Ok{};
}

// Times of staged bytes are kept by their file, the others by the log.
Answer<Ok> MountFilesystem::set_times(const Caller& caller, Number number, const AttributeChange& change) {
  auto facts = known(number);
  bool staged_file = facts.staged && facts.staged->tree == 0 && facts.staged->type == FileType::file;
  if (staged_file || (facts.changed && facts.changed->data != 0)) {
    auto data = begin_write(number, UINT64_MAX);
    if (!data) return data.error();
    auto done = staged_.set_times(*data, change.mtime_ns, change.atime_ns);
    end_write(*data);
    if (!done) return disk_error(done.error());
    return Ok{};
  }
  auto record = record_for(caller, NameOp::attributes);
  record.unique = 0;  // doing it twice does no harm
  record.number = number;
  record.mtime_ns = change.mtime_ns;
  record.atime_ns = change.atime_ns;
  if (is_committed(facts.number)) count_use(facts.number);
  return record_attributes(std::move(record));
}

void MountFilesystem::set_attributes(const Caller& caller, Number number, const AttributeChange& change,
                                     Reply<AttributesReply> reply) {
  auto before = attributes_of(number);
  if (!before) return reply.fail(before.error());
  if (change.size) {
    if (before->type == FileType::directory) return reply.fail(FsError::is_directory);
    if (auto done = resize(number, *change.size); !done) return reply.fail(done.error());
  }
  // Owners stay as they are: everything that is shown belongs to the mount's owner.
  if (change.mode) {
    auto record = record_for(caller, NameOp::attributes);
    record.unique = 0;
    record.number = number;
    record.mode = *change.mode & (before->type == FileType::directory ? 01777 : 0777);
    // Others' writes to the top of the mount would be names in everybody's cache.
    if (number == kRootNumber) record.mode = *record.mode & ~0002;
    if (auto done = record_attributes(std::move(record)); !done) return reply.fail(done.error());
  }
  if (change.mtime_ns || change.atime_ns) {
    if (auto done = set_times(caller, number, change); !done) return reply.fail(done.error());
  }
  tell_other_numbers(number);
  auto attributes = attributes_of(number);
  if (!attributes) return reply.fail(attributes.error());
  reply.send(attributes_reply(*attributes));
}

void MountFilesystem::sync_file(const Caller&, Number number, Reply<Ok> reply) {
  auto facts = known(number);
  Number data = facts.changed ? facts.changed->data : 0;
  if (data == 0 && facts.staged) data = facts.number;
  if (data == 0) return reply.send(Ok{});
  if (auto done = staged_.sync(data); !done) return reply.fail(disk_error(done.error()));
  // The name must be there as well.
  if (auto done = (*log_.lock())->sync(); !done) return reply.fail(disk_error(done.error()));
  reply.send(Ok{});
}

// Entries are durable when the daemon says so. When it does not (away, or the entry does not fit), the tree is made
// durable where it is: it survives a power cut in staging and is handed over later.
void MountFilesystem::sync_directory(const Caller&, Number number, Reply<Ok> reply) {
  std::set<uint64_t> trees;
  if (number == kRootNumber) {
    auto state = state_.lock();
    for (const auto& [id, tree] : state->names.trees()) {
      if (!tree.synced) trees.insert(id);
    }
  }
  auto waiting = std::make_shared<Reply<Ok>>(std::move(reply));
  commits_->when_settled(trees, kSyncPatience, [this, trees, waiting](bool all_committed) {
    tasks_->add([this, trees, waiting, all_committed] {
      sync_staging(all_committed ? std::set<uint64_t>{} : trees).give(std::move(*waiting));
    });
  });
}

Answer<Ok> MountFilesystem::sync_staging(const std::set<uint64_t>& trees) {
  if (!trees.empty()) {
    bool written = false;
    {
      auto state = state_.lock();
      written = state.wait(stopping_.get_token(), [&](const MountState& now) {
        return std::none_of(now.writing.begin(), now.writing.end(), [&](const auto& write) {
          const auto* node = now.names.node(write.first);
          return node != nullptr && trees.contains(node->tree);
        });
      });
    }
    if (!written) return FsError::io;
    if (auto done = staged_.sync_all(); !done) return disk_error(done.error());
  }
  auto log = log_.lock();
  for (uint64_t tree : trees) {
    auto record = record_for({}, NameOp::synced);
    record.tree = tree;
    if (auto done = change(log, record); !done) return disk_error(done.error());
  }
  if (auto done = (*log)->sync(); !done) return disk_error(done.error());
  return Ok{};
}

}  // namespace hitfs::fs
