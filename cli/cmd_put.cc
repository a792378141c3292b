#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/lease.h"
#include "cli/units.h"
#include "store/base/io.h"
#include "store/import_tree.h"
#include "store/manifest.h"

namespace hitfs {

namespace {

constexpr Milliseconds kCommitLimit{600000};
constexpr const char* kDraft = "draft";

// A staging folder of this process, gone with the object.
class StagingFolder {
 public:
  explicit StagingFolder(const StorePaths& store)
      : front_("cli-" + std::to_string(::getpid())), path_(store.staging(front_)) {}
  ~StagingFolder() { [[maybe_unused]] auto gone = io::remove_tree(path_, "staging"); }
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;

  // Empty also when a process of the same number left one.
  Status make() {
    if (auto gone = io::remove_tree(path_, "staging"); !gone) return gone;
    return io::make_directories(path_, 0700, "staging");
  }
  [[nodiscard]] const std::string& front() const { return front_; }
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return path_ / name; }

 private:
  std::string front_;
  std::filesystem::path path_;
};

Status copy(ByteSource& from, const std::filesystem::path& to, const std::function<void(uint64_t)>& copied) {
  auto file = io::create(to, "staged file");
  if (!file) return std::move(file).error();
  std::vector<std::byte> piece(256 << 10);
  while (true) {
    auto got = from.read(piece);
    if (!got) return std::move(got).error();
    if (*got == 0) return Ok{};
    if (auto put = io::write_all(file->get(), std::span(piece).first(*got), "staged file"); !put) return put;
    copied(*got);
  }
}

// Every file of the tree as staging/<front>/<number>.
Status stage_contents(ImportedTree& tree, const ManifestView& draft, const StagingFolder& folder,
                      const Output& output) {
  Progress progress(output, "storing");
  uint64_t done = 0;
  auto total = tree.total_bytes();
  for (uint32_t position = 0; position < draft.size(); ++position) {
    auto record = draft.at(position);
    const auto* staged = record.type == FileType::file ? std::get_if<StagedNumber>(&record.content) : nullptr;
    if (staged == nullptr) continue;
    auto source = tree.open(record.content);
    if (!source) return std::move(source).error();
    auto copied = copy(**source, folder.file(std::to_string(staged->number)), [&](uint64_t bytes) {
      done += bytes;
      progress.update(done, total, format_size(done));
    });
    if (!copied) return copied;
  }
  return Ok{};
}

Result<CommitReply> put(const Context& context, const Key& key, ImportedTree& tree) {
  auto lease = Lease::take(context, false);
  if (!lease) return std::move(lease).error();
  StagingFolder folder(context.config.store);
  if (auto made = folder.make(); !made) return std::move(made).error();
  ManifestHeader header;
  header.key = key;
  header.kind = tree.kind();
  auto bytes = tree.tree().finish(header);
  auto draft = ManifestView::parse(io::as_bytes(bytes));
  if (!draft) return std::move(draft).error();
  if (auto staged = stage_contents(tree, *draft, folder, context.output); !staged) return std::move(staged).error();
  if (auto written = io::replace_file(folder.file(kDraft), io::as_bytes(bytes), "draft"); !written) {
    return std::move(written).error();
  }
  return lease->daemon().commit(folder.front(), kDraft, true, Deadline::after(kCommitLimit));
}

}  // namespace

int cmd_put(const Context& context) {
  const auto& arguments = context.arguments;
  auto key = Key::make("", arguments.space, arguments.name);
  if (!key) return context.output.fail(key.error());
  GuardLimits limits;
  limits.artifact_bytes = context.config.max_artifact_bytes;
  limits.unpacked_bytes = context.config.max_unpacked_bytes;
  auto tree = ImportedTree::read(arguments.path, limits);
  if (!tree) return context.output.fail(in_context("put " + arguments.path, std::move(tree).error()));
  auto committed = put(context, *key, **tree);
  if (!committed) return context.output.fail(in_context("put " + key->text(), std::move(committed).error()));
  Json json;
  json["key"] = key->text();
  json["entry"] = committed->entry_id;
  json["replaced"] = committed->replaced;
  json["bytes"] = (*tree)->total_bytes();
  json["files"] = (*tree)->total_files();
  context.output.value(json);
  context.output.line(fmt::format("{}: {} files, {}{}", key->text(), (*tree)->total_files(),
                                  format_size((*tree)->total_bytes()),
                                  committed->replaced ? ", in the place of an older entry" : ""));
  return kDone;
}

}  // namespace hitfs
