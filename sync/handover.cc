#include "sync/handover.h"

#include "store/access_log.h"
#include "store/base/log.h"
#include "store/manifest.h"
#include "sync/incoming.h"
#include "sync/tree_form.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};

bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

StoreReply reply_of(const Admission& admission) {
  switch (admission.verdict) {
    case Admission::Verdict::committed: return {StoreOutcome::stored, ""};
    case Admission::Verdict::same: return {StoreOutcome::same, ""};
    case Admission::Verdict::different: return {StoreOutcome::different, "the key has other bytes"};
  }
  return {};
}

// What the sender must hear as "not kept", rather than as a failure of this machine.
bool is_refusal(Code code) {
  return code == Code::corrupt || code == Code::permission_denied || code == Code::no_space ||
         code == Code::invalid_argument;
}

}  // namespace

Handover::Handover(EntryStore& store, RemoteSet& remotes, StorePaths paths, const GuardLimits& limits,
                   std::function<void()> committed)
    : store_(store), remotes_(remotes), paths_(std::move(paths)), limits_(limits), committed_(std::move(committed)) {}

Result<std::filesystem::path> Handover::staged_path(const std::string& front, const std::string& file) const {
  if (!is_plain_name(front) || !is_plain_name(file)) {
    return Error{Code::invalid_argument, "front and file must be plain names"};
  }
  return paths_.staging(front) / file;
}

Result<CommitReply> Handover::commit(const std::string& front, const std::string& draft, bool durable) {
  auto path = staged_path(front, draft);
  if (!path) return std::move(path).error();
  auto manifest = MappedManifest::open(path->string());
  if (!manifest) return std::move(manifest).error();
  const auto& view = (*manifest)->view();
  auto key = view.header().key;

  CommitOptions options{.durable = durable, .replace = true, .origin = "local", .push_to = remotes_.push_targets()};
  options.terminal_output = std::filesystem::path(*path).replace_extension(".output");
  auto committed = store_.begin()->commit_draft(view, paths_.staging(front), options);
  if (!committed) {
    kLog.warn("commit key={} error=\"{}\"", key.text(), committed.error().message);
    return std::move(committed).error();
  }
  if (committed->result == CommitResult::committed) store_.access_log().record(key, AccessKind::stored, front);
  committed_();
  return CommitReply{committed->entry_id, committed->retired.has_value()};
}

Result<Admission> Handover::unpack(const Key& key) { return unpack_entry(store_, key, limits_); }

Result<StoreReply> Handover::store(const std::string& front, const std::string& file, const Key& key) {
  auto path = staged_path(front, file);
  if (!path) return std::move(path).error();
  auto staged = Scratch::File::take_over(*path);
  if (!staged) return std::move(staged).error();

  CommitOptions options{.durable = true, .replace = false, .origin = "local", .push_to = remotes_.push_targets()};
  auto form = mounts_want_trees(paths_) ? Form::with_tree : Form::primary;
  auto admitted = admit_artifact(store_, **staged, key, limits_, options, form);
  if (!admitted) {
    const auto& error = admitted.error();
    store_.access_log().record(key, AccessKind::refused, error.message);
    kLog.warn("store key={} error=\"{}\"", key.text(), error.message);
    if (is_refusal(error.code)) return StoreReply{StoreOutcome::refused, error.message};
    return std::move(admitted).error();
  }
  if (admitted->verdict == Admission::Verdict::committed) store_.access_log().record(key, AccessKind::stored, front);
  committed_();
  return reply_of(*admitted);
}

}  // namespace hitfs
