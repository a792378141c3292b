#include "sync/incoming.h"

#include <span>
#include <vector>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/codecs/codec.h"
#include "store/codecs/intake_sink.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};

// Checks an artifact without keeping anything of its tree.
class DiscardingSink final : public TreeSink, public ByteSink {
 public:
  Status root(bool, uint16_t, int64_t) override { return Ok{}; }
  Status directory(std::string_view, uint16_t, int64_t) override { return Ok{}; }
  Status symlink(std::string_view, std::string_view, int64_t) override { return Ok{}; }
  Result<ByteSink*> begin_file(std::string_view, uint16_t, int64_t, std::optional<uint64_t>) override {
    return static_cast<ByteSink*>(this);
  }
  Status end_file() override { return Ok{}; }
  Status write(std::span<const std::byte>) override { return Ok{}; }
};

Result<Codec::Recognised> recognise(const Codec& codec, const Scratch::File& file) {
  std::vector<std::byte> prefix(Codec::kPrefix);
  auto source = file.read();
  auto got = source->read(prefix);
  if (!got) return std::move(got).error();
  return codec.recognise(std::span(prefix).first(*got));
}

Admission admission_of(const Committed& committed) {
  switch (committed.result) {
    case CommitResult::committed: return {Admission::Verdict::committed, committed.entry_id};
    case CommitResult::same: return {Admission::Verdict::same, committed.entry_id};
    case CommitResult::different: return {Admission::Verdict::different, committed.entry_id};
  }
  return {};
}

Result<Admission> commit_as_artifact(EntryStore& store, const Scratch::File& file, ManifestHeader header,
                                     const CommitOptions& options) {
  auto intake = store.begin();
  auto digest = intake->adopt(file.path());
  if (!digest) return std::move(digest).error();
  header.artifact = *digest;
  auto committed = intake->commit_artifact(std::move(header), options);
  if (!committed) return std::move(committed).error();
  return admission_of(*committed);
}

Result<Admission> commit_as_tree(EntryStore& store, const Codec& codec, const Scratch::File& file,
                                 ManifestHeader header, const CommitOptions& options) {
  auto intake = store.begin();
  IntakeSink sink(*intake);
  auto source = file.read();
  auto facts = codec.unpack(*source, sink);
  if (!facts) return std::move(facts).error();
  header.kind = sink.kind();
  header.exit_code = facts->exit_code;
  auto committed = intake->commit(sink.tree(), std::move(header), options);
  if (!committed) return std::move(committed).error();
  return admission_of(*committed);
}

Error task_failed(int32_t exit_code) {
  return {Code::permission_denied, "the task ended with code " + std::to_string(exit_code)};
}

// Reads a whole artifact through the guard before it may be kept as it is.
Status check_artifact(const Codec& codec, const Scratch::File& file) {
  DiscardingSink nothing;
  auto source = file.read();
  auto facts = codec.unpack(*source, nothing);
  if (!facts) return std::move(facts).error();
  if (facts->exit_code != 0) return task_failed(facts->exit_code);
  return Ok{};
}

}  // namespace

Result<Admission> commit_unpacked(EntryStore& store, EntryIntake& holder, const Codec& codec, ByteSource& source,
                                  const Key& key, const Digest& artifact, const CommitOptions& options) {
  auto intake = store.begin();
  IntakeSink sink(*intake);
  auto facts = codec.unpack(source, sink);
  if (!facts) return std::move(facts).error();
  if (facts->exit_code != 0) return task_failed(facts->exit_code);
  ManifestHeader header;
  header.key = key;
  header.kind = sink.kind();
  auto output = intake->add_blob(io::as_bytes(facts->terminal_output));
  if (!output) return std::move(output).error();
  header.terminal_output = *output;
  auto committed = intake->commit(sink.tree(), std::move(header), options);
  if (!committed) return std::move(committed).error();
  if (committed->result == CommitResult::committed) {
    // Without it the artifact is packed anew when somebody asks: other bytes, the same tree.
    if (auto kept = store.attach_artifact(committed->entry_id, artifact, holder); !kept) {
      kLog.warn("artifact of={} not kept error=\"{}\"", key.text(), kept.error().message);
    }
  }
  return admission_of(*committed);
}

bool keeps_artifacts(const std::string& space) { return space == "nx" || space == kRawSpace; }

Result<Admission> admit_artifact(EntryStore& store, const Scratch::File& file, const Key& key,
                                 const GuardLimits& limits, const CommitOptions& options, Form form) {
  ManifestHeader header;
  header.key = key;
  header.kind = EntryKind::opaque;
  // Bytes that another hitfs named by a hash: only the one who asks by the full key can read them.
  if (key.space == kRawSpace) return commit_as_artifact(store, file, std::move(header), options);

  auto codec = make_codec(key.space, limits);
  auto recognised = recognise(*codec, file);
  if (!recognised) return std::move(recognised).error();
  switch (*recognised) {
    case Codec::Recognised::damaged: return Error{Code::corrupt, "these bytes are no artifact"};
    case Codec::Recognised::unknown:
      kLog.warn("artifact key={} format=unknown kept=opaque", key.text());
      return commit_as_artifact(store, file, std::move(header), options);
    case Codec::Recognised::yes: break;
  }
  if (keeps_artifacts(key.space) && form == Form::with_tree) {
    auto holder = store.begin();
    auto digest = holder->adopt(file.path());
    if (!digest) return std::move(digest).error();
    auto source = file.read();
    return commit_unpacked(store, *holder, *codec, *source, key, *digest, options);
  }
  if (!keeps_artifacts(key.space)) return commit_as_tree(store, *codec, file, std::move(header), options);
  if (auto checked = check_artifact(*codec, file); !checked) return std::move(checked).error();
  header.kind = EntryKind::artifact;
  return commit_as_artifact(store, file, std::move(header), options);
}

IncomingEntry::IncomingEntry(EntryStore& store, Scratch& scratch, Key key, const GuardLimits& limits, Form form)
    : store_(store), scratch_(scratch), key_(std::move(key)), limits_(limits), form_(form) {}

Result<ByteSink*> IncomingEntry::artifact(std::optional<uint64_t> size) {
  if (size && *size > limits_.artifact_bytes) {
    return Error{Code::no_space, "an artifact of " + std::to_string(*size) + " bytes is over the limit of " +
                                     std::to_string(limits_.artifact_bytes)};
  }
  if (artifact_) {
    if (auto restarted = artifact_->restart(); !restarted) return std::move(restarted).error();
    return static_cast<ByteSink*>(artifact_.get());
  }
  auto file = scratch_.create();
  if (!file) return std::move(file).error();
  artifact_ = *std::move(file);
  artifact_->limit(limits_.artifact_bytes);
  return static_cast<ByteSink*>(artifact_.get());
}

Status IncomingEntry::end_blob() {
  if (!expected_) return Ok{};
  auto digest = intake_->end_blob();
  if (!digest) return std::move(digest).error();
  if (*digest != *expected_) return Error{Code::corrupt, "blob " + expected_->text() + " arrived as " + digest->text()};
  blob_bytes_ += digest->size;
  expected_.reset();
  return Ok{};
}

Result<bool> IncomingEntry::has_blob(const Digest& digest) {
  if (!intake_) intake_ = store_.begin();
  return intake_->has_blob(digest);
}

Result<ByteSink*> IncomingEntry::blob(const Digest& digest) {
  if (!intake_) intake_ = store_.begin();
  if (auto ended = end_blob(); !ended) return std::move(ended).error();
  expected_ = digest;
  return intake_->begin_blob(digest.size);
}

Status IncomingEntry::tree(ManifestBuilder tree, const ManifestHeader& header) {
  if (auto ended = end_blob(); !ended) return ended;
  if (!intake_) intake_ = store_.begin();
  tree_ = std::move(tree);
  header_ = header;
  return Ok{};
}

Result<Admission> IncomingEntry::finish(const std::string& origin) {
  // What a remote sends never replaces what is here: the local entry may still be on its way up.
  CommitOptions options{.durable = false, .replace = false, .origin = origin, .push_to = {}};
  if (tree_) {
    header_.key = key_;
    auto committed = intake_->commit(*tree_, header_, options);
    if (!committed) return std::move(committed).error();
    return admission_of(*committed);
  }
  if (!artifact_) return Error{Code::internal, "the remote sent nothing"};
  return admit_artifact(store_, *artifact_, key_, limits_, options, form_);
}

uint64_t IncomingEntry::bytes() const { return blob_bytes_ + (artifact_ ? artifact_->size() : 0); }

}  // namespace hitfs
