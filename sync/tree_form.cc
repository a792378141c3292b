#include "sync/tree_form.h"

#include <filesystem>

#include "store/codecs/codec.h"
#include "store/codecs/intake_sink.h"
#include "store/codecs/stored_contents.h"
#include "store/mount_lock.h"
#include "store/push_queue.h"

namespace hitfs {

namespace {

// What is unpacked only because it might be asked for must not push out what was.
Status has_room(EntryStore& store, uint64_t artifact_bytes) {
  constexpr uint64_t kUsualRatio = 4;
  auto stats = store.stats();
  uint64_t needed = artifact_bytes * kUsualRatio;
  bool fits = stats.max_bytes == 0 || stats.bytes + needed < stats.max_bytes / 10 * 8;
  if (fits) return Ok{};
  return Error{Code::no_space, "the store is nearly full: it stays packed"};
}

}  // namespace

bool mounts_want_trees(const StorePaths& paths) {
  std::error_code failure;
  std::filesystem::directory_iterator folders(paths.root / "private", failure), end;
  for (; !failure && folders != end; folders.increment(failure)) {
    if (mount_lives(paths, folders->path().filename().string())) return true;
  }
  return false;
}

Result<Admission> unpack_entry(EntryStore& store, const Key& key, const GuardLimits& limits) {
  auto entry = store.reader().find(key);
  if (!entry) return std::move(entry).error();
  if (entry->kind != EntryKind::artifact || !entry->artifact) {
    return Admission{Admission::Verdict::same, entry->id};
  }
  auto waits = store.push_queue().has(entry->id);
  if (!waits) return std::move(waits).error();
  if (*waits) return Error{Code::unavailable, key.text() + " is to be pushed first"};
  if (auto room = has_room(store, entry->artifact->size); !room) return std::move(room).error();

  StoredContents contents(store.reader());
  auto source = contents.open(*entry->artifact);
  if (!source) return std::move(source).error();
  auto holder = store.begin();
  auto held = holder->has_blob(*entry->artifact);
  if (!held) return std::move(held).error();
  CommitOptions options{.durable = false, .replace = true, .origin = entry->origin};
  return commit_unpacked(store, *holder, *make_codec(key.space, limits), **source, key, *entry->artifact, options);
}

}  // namespace hitfs
