#include "fs/draft.h"

#include <algorithm>

namespace hitfs::fs {

namespace {

Content content_of(const DraftNode& node) { return StagedNumber{node.number}; }

Result<ManifestBuilder::Node> add(ManifestBuilder& builder, ManifestBuilder::Node parent, const DraftNode& node) {
  switch (node.type) {
    case FileType::directory: return builder.add_directory(parent, node.name, node.mode, node.mtime_ns);
    case FileType::symlink: return builder.add_symlink(parent, node.name, node.target, node.mtime_ns);
    case FileType::file: break;
  }
  return builder.add_file(parent, node.name, node.mode, node.mtime_ns, node.size, content_of(node));
}

}  // namespace

Result<std::string> make_draft(const Key& key, const std::vector<DraftNode>& nodes,
                               const std::optional<Digest>& terminal_output) {
  ManifestBuilder builder;
  const auto& top = nodes.front();
  ManifestHeader header;
  header.key = key;
  header.terminal_output = terminal_output;
  if (top.type == FileType::directory) {
    builder.root_directory(top.mode, top.mtime_ns);
  } else {
    builder.root_file(top.mode, top.mtime_ns, top.size, content_of(top));
    header.kind = EntryKind::file;
  }
  for (size_t i = 1; i < nodes.size(); ++i) {
    auto added = add(builder, nodes[i].parent, nodes[i]);
    if (!added) return in_context("draft of " + key.text(), std::move(added).error());
  }
  std::vector<uint32_t> positions;
  auto bytes = builder.finish(header, &positions);
  for (size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] != i) return Error{Code::internal, "draft of " + key.text() + ": positions out of order"};
  }
  return bytes;
}

bool same_tree(const ManifestView& draft, const ManifestView& entry) {
  if (draft.size() != entry.size() || draft.header().kind != entry.header().kind) return false;
  for (uint32_t i = 0; i < draft.size(); ++i) {
    auto a = draft.at(i);
    auto b = entry.at(i);
    bool same = a.type == b.type && a.mode == b.mode && a.size == b.size && a.mtime_ns == b.mtime_ns &&
                a.name == b.name && a.parent == b.parent && a.target == b.target;
    if (!same) return false;
  }
  return true;
}

}  // namespace hitfs::fs
