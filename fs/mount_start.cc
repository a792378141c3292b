// How a mount begins: what the worker before knew, and what it left behind.
#include "fs/mount_filesystem.h"
#include "store/base/io.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

std::string running_boot() {
  auto text = io::read_file("/proc/sys/kernel/random/boot_id", 256);
  if (!text) return "unknown";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

FilesystemOptions completed(FilesystemOptions options) {
  if (options.boot_id.empty()) options.boot_id = running_boot();
  return options;
}

}  // namespace

Result<std::unique_ptr<Filesystem>> Filesystem::open(const FilesystemOptions& options, const Layout& layout,
                                                     StoreReader& reader, DaemonClient& daemon, References& references,
                                                     KernelNotifier& notifier) {
  auto filesystem = std::make_unique<MountFilesystem>(options, layout, reader, daemon, references, notifier);
  if (auto started = filesystem->start(); !started) {
    return in_context("mount " + options.mount_name, std::move(started).error());
  }
  return std::unique_ptr<Filesystem>(std::move(filesystem));
}

MountFilesystem::MountFilesystem(FilesystemOptions options, const Layout& layout, StoreReader& reader,
                                 DaemonClient& daemon, References& references, KernelNotifier& notifier)
    : options_(completed(std::move(options))),
      layout_(layout),
      daemon_(daemon),
      references_(references),
      notifier_(notifier),
      committed_(reader, layout, options_.scope),
      staged_(options_.store.staging(options_.mount_name)) {}

MountFilesystem::~MountFilesystem() {
  stopping_.request_stop();
  // In this order: waiting lookups are answered; commits end, and who waits for them leaves a task; who waits for rows
  // is answered; the tasks are done, and may leave a commit to the next worker.
  lookups_.reset();
  if (commits_) commits_->stop();
  if (unpacker_) unpacker_->stop();
  if (rows_) rows_->stop();
  tasks_.reset();
}

Status MountFilesystem::start() {
  if (auto made = io::make_directories(staged_.folder(), 0700, "staging folder"); !made) return made;
  if (auto replayed = replay(); !replayed) return replayed;
  bool new_mount = options_.connection == 0 || state_.lock()->names.connection() != options_.connection;
  if (auto begun = begin_session(); !begun) return begun;
  collect_unreferenced();
  sweep();
  if (layout_.has_rows()) {
    find_broken_stores(new_mount);
    mend_broken_stores();
  }
  if (auto begun = start_rows(); !begun) return in_context("rows of nx", std::move(begun).error());
  auto log = log_.lock();
  compact_when_worthwhile(log);
  tasks_ = std::make_unique<TaskQueue>(1);
  commits_ = std::make_unique<CommitQueue>(
      *options_.clock, [this](uint64_t tree, const std::stop_token& stop) { return commit_tree(tree, stop); });
  lookups_ = std::make_unique<PendingLookups>(
      PendingLookups::Options{options_.lookup_patience, options_.absent_memory, options_.clock}, daemon_,
      [this](const std::string& name, Reply<NodeReply> reply) {
        auto answer = lookup_here(kRootNumber, name);
        answer.value_or(FsError::not_found).give(std::move(reply));
      });
  std::map<uint64_t, std::string> trees;
  {
    auto state = state_.lock();
    for (const auto& [id, tree] : state->names.trees()) trees[id] = tree.name;
  }
  for (const auto& [id, name] : trees) commits_->add(id, name);
  complete_missed_markers(log);
  know_retired();
  return Ok{};
}

// The events that told of them may be long gone, and the worker before with what it knew.
void MountFilesystem::know_retired() {
  auto retired = committed_.retired();
  if (!retired) return kLog.warn("retired entries mount={} error={}", options_.mount_name, retired.error().message);
  for (const auto& entry : *retired) {
    if (rows_) show_for_a_while(entry);
    on_retired({.number = 0, .kind = DaemonEvent::Kind::retired, .key = entry.key, .entry_id = entry.id});
  }
}

void MountFilesystem::sweep() {
  std::unordered_set<Number> numbers;
  std::set<std::string> named;
  {
    auto state = state_.lock();
    numbers = state->names.data_numbers();
    for (const auto& [id, tree] : state->names.trees()) named.insert({draft_name(id), output_name(id)});
  }
  if (auto swept = staged_.sweep(numbers, named); !swept) {
    kLog.warn("staging sweep mount={} error={}", options_.mount_name, swept.error().message);
  }
}

Status MountFilesystem::replay() {
  NameTree names;
  RecentCommits recent;
  auto opened = NamesLog::open(staged_.folder() / "names.log", [&](const NameRecord& record) {
    recent.note(names, record);
    names.apply(record);
  });
  if (!opened) return std::move(opened).error();
  *log_.lock() = std::make_unique<NamesLog>(*std::move(opened));
  auto state = state_.lock();
  state->names = std::move(names);
  state->recent_commits = std::move(recent);
  return Ok{};
}

Status MountFilesystem::begin_session() {
  auto log = log_.lock();
  NameRecord record;
  record.op = NameOp::session;
  record.time_ns = now_ns();
  record.value = options_.connection;
  record.name = options_.boot_id;
  {
    auto state = state_.lock();
    record.number = state->names.next_number();
    record.tree = state->names.next_sequence();
    record.other_parent = state->names.next_tree();
    state->names.touch_root(now_ns());
  }
  auto begun = change(log, record);
  clean_up_dropped();
  return begun;
}

// What was unlinked or became an entry, and is not used by the kernel (any more).
void MountFilesystem::collect_unreferenced() {
  std::vector<Number> orphans;
  std::vector<Number> aliases;
  {
    auto state = state_.lock();
    orphans.assign(state->names.orphans().begin(), state->names.orphans().end());
    for (const auto& [number, alias] : state->names.aliases()) {
      if (references_.count(number) == 0) aliases.push_back(number);
    }
    for (Number number : aliases) state->names.drop_alias(number);
  }
  collect(orphans);
}

// A worker that died between the marker's record and the tree's.
void MountFilesystem::complete_missed_markers(Log& log) {
  if (layout_.completion() != Completion::marker) return;
  std::vector<Number> candidates;
  {
    auto state = state_.lock();
    for (const auto& [name, link] : state->names.own_names(kRootNumber)->all()) {
      const auto* node = state->names.node(link.number);
      if (node == nullptr || node->tree != 0 || !node->children.find(layout_.marker())) continue;
      candidates.push_back(link.number);
    }
  }
  for (Number number : candidates) complete_by_marker(log, number, layout_.marker());
}

}  // namespace hitfs::fs
