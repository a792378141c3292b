#include "store/tree_intake.h"

namespace hitfs {

namespace {

struct SplitPath {
  std::string_view parent;
  std::string name;
};

SplitPath split(std::string_view path) {
  auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", std::string(path)};
  return {path.substr(0, slash), std::string(path.substr(slash + 1))};
}

}  // namespace

TreeIntake::TreeIntake(EntryIntake& intake) : intake_(intake) {
  directories_.emplace("", tree_.root_directory(root_mode_, root_mtime_ns_));
}

Status TreeIntake::root(bool is_file, uint16_t mode, int64_t mtime_ns) {
  is_file_ = is_file;
  root_mode_ = mode;
  root_mtime_ns_ = mtime_ns;
  if (!is_file) tree_.set_attributes(0, mode, mtime_ns);
  return Ok{};
}

Result<ManifestBuilder::Node> TreeIntake::directory_node(std::string_view path) {
  if (auto known = directories_.find(std::string(path)); known != directories_.end()) return known->second;
  auto [parent_path, name] = split(path);
  auto parent = directory_node(parent_path);
  if (!parent) return parent;
  auto node = tree_.add_directory(*parent, name, 0755, 0);
  if (node) directories_.emplace(path, *node);
  return node;
}

Status TreeIntake::directory(std::string_view path, uint16_t mode, int64_t mtime_ns) {
  if (auto ended = end_file(); !ended) return ended;
  auto node = directory_node(path);
  if (!node) return std::move(node).error();
  tree_.set_attributes(*node, mode, mtime_ns);
  return Ok{};
}

Status TreeIntake::symlink(std::string_view path, std::string_view target, int64_t mtime_ns) {
  if (auto ended = end_file(); !ended) return ended;
  auto [parent_path, name] = split(path);
  auto parent = directory_node(parent_path);
  if (!parent) return std::move(parent).error();
  auto added = tree_.add_symlink(*parent, name, std::string(target), mtime_ns);
  if (!added) return std::move(added).error();
  return Ok{};
}

Result<ByteSink*> TreeIntake::file(std::string_view path, uint16_t mode, int64_t mtime_ns, uint64_t size) {
  if (auto ended = end_file(); !ended) return std::move(ended).error();
  if (is_file_) {
    open_file_ = tree_.root_file(mode, mtime_ns, size, Digest{});
    return intake_.begin_blob(size);
  }
  auto [parent_path, name] = split(path);
  auto parent = directory_node(parent_path);
  if (!parent) return std::move(parent).error();
  auto added = tree_.add_file(*parent, name, mode, mtime_ns, size, Digest{});
  if (!added) return std::move(added).error();
  open_file_ = *added;
  return intake_.begin_blob(size);
}

Status TreeIntake::end_file() {
  if (!open_file_) return Ok{};
  auto digest = intake_.end_blob();
  if (!digest) return std::move(digest).error();
  tree_.set_content(*open_file_, digest->size, *digest);
  open_file_.reset();
  return Ok{};
}

Result<ManifestBuilder> TreeIntake::finish() {
  if (auto ended = end_file(); !ended) return std::move(ended).error();
  return std::move(tree_);
}

}  // namespace hitfs
