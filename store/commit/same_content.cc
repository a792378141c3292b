#include "store/commit/same_content.h"

namespace hitfs {

namespace {

bool same_record(const ManifestRecord& a, const ManifestRecord& b, bool with_times) {
  if (a.type != b.type || a.mode != b.mode || a.name != b.name || a.parent != b.parent) return false;
  if (with_times && a.mtime_ns != b.mtime_ns) return false;
  switch (a.type) {
    case FileType::directory: return a.child_count == b.child_count;
    case FileType::file: return a.content == b.content;
    case FileType::symlink: return a.target == b.target;
  }
  return false;
}

}  // namespace

bool same_content(const ManifestView& made, const ManifestView& existing, const EntryRow& existing_row,
                  bool with_times) {
  auto mine = made.header();
  auto theirs = existing.header();
  if (mine.artifact && existing_row.entry.artifact) return *mine.artifact == *existing_row.entry.artifact;
  if (mine.kind != theirs.kind || mine.exit_code != theirs.exit_code) return false;
  if (mine.artifact.has_value() != theirs.artifact.has_value()) return false;
  if (mine.terminal_output != theirs.terminal_output || made.size() != existing.size()) return false;
  for (uint32_t position = 0; position < made.size(); ++position) {
    if (!same_record(made.at(position), existing.at(position), with_times)) return false;
  }
  return true;
}

}  // namespace hitfs
