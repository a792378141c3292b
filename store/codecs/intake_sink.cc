#include "store/codecs/intake_sink.h"

namespace hitfs {

namespace {

constexpr uint16_t kImpliedMode = 0755;

struct SplitPath {
  std::string_view directory;
  std::string_view name;
};

SplitPath split(std::string_view path) {
  auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

IntakeSink::IntakeSink(EntryIntake& intake) : intake_(intake) { tree_.root_directory(kImpliedMode, 0); }

Status IntakeSink::root(bool is_file, uint16_t mode, int64_t mtime_ns) {
  is_file_ = is_file;
  if (!is_file) tree_.set_attributes(0, mode, mtime_ns);
  return Ok{};
}

Result<ManifestBuilder::Node> IntakeSink::directory_node(std::string_view path) {
  if (path.empty()) return ManifestBuilder::Node{0};
  if (path == last_directory_) return last_node_;
  ManifestBuilder::Node node = 0;
  for (auto rest = path; !rest.empty();) {
    auto slash = rest.find('/');
    std::string name(rest.substr(0, slash));
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    if (auto found = tree_.find(node, name)) {
      node = *found;
      continue;
    }
    auto added = tree_.add_directory(node, std::move(name), kImpliedMode, 0);
    if (!added) return added;
    node = *added;
  }
  last_directory_ = path;
  last_node_ = node;
  return node;
}

Status IntakeSink::directory(std::string_view path, uint16_t mode, int64_t mtime_ns) {
  auto node = directory_node(path);
  if (!node) return std::move(node).error();
  tree_.set_attributes(*node, mode, mtime_ns);
  return Ok{};
}

Status IntakeSink::symlink(std::string_view path, std::string_view target, int64_t mtime_ns) {
  auto [directory, name] = split(path);
  auto parent = directory_node(directory);
  if (!parent) return std::move(parent).error();
  auto added = tree_.add_symlink(*parent, std::string(name), std::string(target), mtime_ns);
  if (!added) return std::move(added).error();
  return Ok{};
}

Result<ByteSink*> IntakeSink::begin_file(std::string_view path, uint16_t mode, int64_t mtime_ns,
                                         std::optional<uint64_t> size) {
  open_ = OpenFile{std::string(path), mode, mtime_ns};
  return intake_.begin_blob(size);
}

Status IntakeSink::end_file() {
  auto digest = intake_.end_blob();
  if (!digest) return std::move(digest).error();
  if (!open_) return Error{Code::internal, "unpack: a file ends that has not begun"};
  auto file = *std::move(open_);
  open_.reset();
  if (is_file_) {
    tree_.root_file(file.mode, file.mtime_ns, digest->size, *digest);
    return Ok{};
  }
  auto [directory, name] = split(file.path);
  auto parent = directory_node(directory);
  if (!parent) return std::move(parent).error();
  auto added = tree_.add_file(*parent, std::string(name), file.mode, file.mtime_ns, digest->size, *digest);
  if (!added) return std::move(added).error();
  return Ok{};
}

}  // namespace hitfs
