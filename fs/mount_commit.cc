// Frozen trees become entries: draft, hand-over, and what follows when the daemon has committed.
#include <algorithm>

#include "fs/mount_filesystem.h"
#include "store/base/io.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr size_t kLargestDraft = 1ull << 32;

// A commit hashes and copies: a minute, and a second more for every 20 MB.
Deadline commit_deadline(uint64_t bytes) { return Deadline::after(std::chrono::seconds(60 + bytes / 20'000'000)); }

Status write_draft(const std::filesystem::path& path, const std::string& bytes) {
  auto file = io::create(path, "draft", {.mode = 0600, .exclusive = false});
  if (!file) return std::move(file).error();
  return io::write_all(file->get(), io::as_bytes(bytes), "draft");
}

}  // namespace

CommitOutcome MountFilesystem::commit_tree(uint64_t tree, const std::stop_token& stop) {
  if (drop_superseded(tree)) return CommitOutcome::committed;
  if (rows_) {
    auto name = state_.lock()->names.trees().at(tree).name;
    auto code = rows_->exit_code(name);
    if (!code) {
      kLog.warn("commit name={} row_error=\"{}\"", name, code.error().message);
      return CommitOutcome::later;
    }
    if (*code != 0) return keep_here(tree);
  }
  auto draft = draft_of(tree, stop);
  if (!draft) {
    kLog.warn("commit tree={} draft_error={}", tree, draft.error().message);
    return draft.error().code == Code::invalid_argument ? CommitOutcome::refused : CommitOutcome::later;
  }
  auto deadline = commit_deadline((*draft)->view.total_bytes());
  auto reply = daemon_.commit(options_.mount_name, draft_name(tree), true, deadline);
  if (reply) return became_entry(tree, reply->entry_id);
  auto key = (*draft)->view.header().key.text();
  if (reply.error().code == Code::unavailable) {
    kLog.debug("commit key={} later={}", key, reply.error().message);
    return CommitOutcome::later;
  }
  // The answer to an earlier try may have been lost, and the staged files be gone with it.
  if (auto entry_id = committed_already(**draft)) return became_entry(tree, *entry_id);
  kLog.warn("commit key={} error={}", key, reply.error().message);
  if (reply.error().code == Code::internal) return CommitOutcome::later;
  return drop_unlinked(tree) ? CommitOutcome::committed : CommitOutcome::refused;
}

// A tree that the store does not take and that was removed here would lie in staging for nobody.
bool MountFilesystem::drop_unlinked(uint64_t tree) {
  return drop_when(tree, [](const NameTree& names, const FrozenTree& frozen) { return !names.link_of(frozen); });
}

// Of a task that failed, or of nobody knows what: shown here as it was made, and never anywhere else.
CommitOutcome MountFilesystem::keep_here(uint64_t tree) {
  auto log = log_.lock();
  auto record = record_for({}, NameOp::thaw);
  record.tree = tree;
  return change(log, record) ? CommitOutcome::kept : CommitOutcome::later;
}

// A tree whose name was completed again before it was handed over is nobody's entry any more.
bool MountFilesystem::drop_superseded(uint64_t tree) {
  return drop_when(tree, [tree](const NameTree& names, const FrozenTree& frozen) {
    const auto& trees = names.trees();
    return std::any_of(trees.upper_bound(tree), trees.end(),
                       [&](const auto& later) { return later.second.name == frozen.name; });
  });
}

// True when the tree is no more; one that another thread has dropped is.
bool MountFilesystem::drop_when(uint64_t tree,
                                const std::function<bool(const NameTree&, const FrozenTree&)>& unwanted) {
  auto log = log_.lock();
  {
    auto state = state_.lock();
    auto found = state->names.trees().find(tree);
    if (found == state->names.trees().end()) return true;
    if (!unwanted(state->names, found->second)) return false;
  }
  return drop_tree(log, tree);
}

// Those that were refused and would come back later, in the place of the one that is an entry now.
bool MountFilesystem::drop_older(Log& log, uint64_t tree) {
  std::vector<uint64_t> older;
  {
    auto state = state_.lock();
    const auto& trees = state->names.trees();
    const auto& name = trees.at(tree).name;
    for (auto it = trees.begin(); it->first != tree; ++it) {
      if (it->second.name == name) older.push_back(it->first);
    }
  }
  return std::all_of(older.begin(), older.end(), [&](uint64_t one) { return drop_tree(log, one); });
}

bool MountFilesystem::drop_tree(Log& log, uint64_t tree) {
  auto numbers = state_.lock()->names.trees().at(tree).numbers;
  for (Number number : numbers) keep_times(number);
  auto record = record_for({}, NameOp::dropped);
  record.tree = tree;
  if (auto done = change(log, record); !done) return false;
  collect(numbers);
  state_.lock()->drafts.erase(tree);
  remove_draft(tree);
  return true;
}

void MountFilesystem::remove_draft(uint64_t tree) {
  for (const auto& name : {draft_name(tree), output_name(tree)}) {
    auto removed = io::unlink(staged_.folder() / name, "draft");
    if (!removed && removed.error().code != Code::not_found) {
      kLog.warn("staging remove draft={} error={}", name, removed.error().message);
    }
  }
}

// Of a file that stays open when its tree is dropped: from then on its times are those of its bytes.
void MountFilesystem::keep_times(Number number) {
  if (references_.count(number) == 0) return;
  auto facts = known(number);
  bool is_file = facts.staged && facts.staged->type == FileType::file;
  if (!is_file || !facts.changed || facts.changed->data != 0) return;
  if (!facts.changed->mtime_ns && !facts.changed->atime_ns) return;
  auto kept = staged_.set_times(number, facts.changed->mtime_ns, facts.changed->atime_ns);
  if (!kept) kLog.warn("staging times number={} error={}", number, kept.error().message);
}

Result<std::shared_ptr<const Draft>> MountFilesystem::draft_of(uint64_t tree, const std::stop_token& stop) {
  std::optional<Key> key;
  {
    auto state = state_.lock();
    if (auto found = state->drafts.find(tree); found != state->drafts.end()) return found->second;
    key = committed_.key_of(state->names.trees().at(tree).name);
  }
  // The layout of this mount changed: what was an entry's name is none any more.
  if (!key)
    return Error{Code::invalid_argument, "its name is no entry's name in layout " + std::string(layout_.name())};
  auto path = staged_.folder() / draft_name(tree);
  auto draft = std::make_shared<Draft>();
  // A worker before may have handed it over already: then the sizes are those of its draft, whatever is left of the
  // staged files. A draft that is not whole was not handed over.
  auto written = io::read_file(path, kLargestDraft);
  auto view = written ? ManifestView::parse(io::as_bytes(*written)) : Result<ManifestView>(written.error());
  if (view && view->header().key == *key) {
    draft->bytes = *std::move(written);
  } else {
    auto nodes = frozen_nodes(tree, stop);
    if (!nodes) return std::move(nodes).error();
    std::optional<Digest> output;
    if (!layout_.outputs_folder().empty()) {
      auto staged = stage_output(tree, key->name);
      if (!staged) return std::move(staged).error();
      output = *staged;
    }
    auto bytes = make_draft(*key, *nodes, output);
    if (!bytes) return std::move(bytes).error();
    draft->bytes = *std::move(bytes);
    if (auto kept = write_draft(path, draft->bytes); !kept) return std::move(kept).error();
  }
  view = ManifestView::parse(io::as_bytes(draft->bytes));
  if (!view) return std::move(view).error();
  draft->view = *view;
  state_.lock()->drafts[tree] = draft;
  return std::shared_ptr<const Draft>(draft);
}

// The nodes with the sizes and times that their staged files have once the last write that began before is through.
Result<std::vector<DraftNode>> MountFilesystem::frozen_nodes(uint64_t tree, const std::stop_token& stop) {
  std::vector<DraftNode> nodes;
  {
    auto state = state_.lock();
    bool still = state.wait(stop, [&](const MountState& now) {
      return std::none_of(now.writing.begin(), now.writing.end(), [&](const auto& write) {
        const auto* node = now.names.node(write.first);
        return node != nullptr && node->tree == tree;
      });
    });
    if (!still) return Error{Code::unavailable, "the mount ends"};
    const auto& names = state->names;
    for (Number number : names.trees().at(tree).numbers) {
      const auto* node = names.node(number);
      const auto* parent = names.node(node->parent);
      DraftNode draft{number, node->type, 0, node->mode, node->mtime_ns, 0, node->name, node->target};
      if (node->position != 0) draft.parent = parent->position;
      nodes.push_back(std::move(draft));
    }
  }
  for (auto& node : nodes) {
    if (node.type != FileType::file) continue;
    auto info = staged_.info(node.number);
    if (!info) return std::move(info).error();
    if (!*info) {
      // Empty and never written: the daemon wants a file all the same.
      if (auto made = staged_.set_times(node.number, node.mtime_ns, std::nullopt); !made)
        return std::move(made).error();
      continue;
    }
    node.size = (*info)->size;
    node.mtime_ns = (*info)->mtime_ns;
  }
  return nodes;
}

std::optional<uint64_t> MountFilesystem::committed_already(const Draft& draft) {
  auto entry = committed_.find(draft.view.header().key.name);
  if (!entry || !*entry) return std::nullopt;
  auto node = committed_.top(**entry);
  if (!node || !same_tree(draft.view, node->manifest->view())) return std::nullopt;
  return node->entry.id;
}

CommitOutcome MountFilesystem::became_entry(uint64_t tree, uint64_t entry_id) {
  FrozenTree frozen;
  std::vector<Number> files;
  {
    auto log = log_.lock();
    // Before its own record: a worker that dies in between tries this one again.
    if (!drop_older(log, tree)) return CommitOutcome::later;
    {
      auto state = state_.lock();
      const auto& names = state->names;
      frozen = names.trees().at(tree);
      for (Number number : frozen.numbers) {
        if (names.node(number)->type == FileType::file) files.push_back(number);
      }
    }
    auto record = record_for({}, NameOp::committed);
    record.tree = tree;
    record.value = entry_id;
    // Without its record nothing has happened: it is handed over again, and is the same then.
    if (auto done = change(log, record); !done) return CommitOutcome::later;
    auto state = state_.lock();
    for (Number number : frozen.numbers) {
      if (references_.count(number) == 0) state->names.drop_alias(number);
    }
    state->drafts.erase(tree);
    state->names.touch_root(now_ns());
  }
  notifier_.invalidate_name(kRootNumber, frozen.name);
  clean_up_dropped();
  for (Number number : files) {
    if (auto removed = staged_.remove(number); !removed) {
      kLog.warn("staging remove number={} error={}", number, removed.error().message);
    }
  }
  remove_draft(tree);
  if (rows_) rows_->project(frozen.name);
  return CommitOutcome::committed;
}

void MountFilesystem::resume_commits() { commits_->resume(); }

size_t MountFilesystem::uncommitted() const { return commits_->waiting(); }

}  // namespace hitfs::fs
