#include "sync/run_lists.h"

#include <algorithm>
#include <charconv>

#include "store/access_log.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/text_stream.h"
#include "sync/memory_transfer.h"
#include "sync/outgoing.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
// One part is small: whatever takes longer is not worth waiting for.
constexpr Milliseconds kOnePart{20'000};

// A part from a remote; nothing when it has none.
Result<std::optional<std::string>> read_remote(ConfiguredRemote& remote, const Key& key, const Deadline& until,
                                               std::stop_token stop) {
  MemoryWriter bytes(RunList::kMostBytes);
  RemoteCall call(Deadline::after(kOnePart).or_earlier(until), std::move(stop));
  auto fetched = remote.remote->fetch(remote.name_of(key), bytes, call);
  if (fetched) return std::optional(bytes.bytes());
  if (fetched.error().code == Code::not_found) return std::optional<std::string>();
  return std::move(fetched).error();
}

// A part that cannot be read costs what it says, no more.
void merge_part(RunList& into, const std::string& bytes, const std::string& from) {
  auto part = RunList::parse(bytes);
  if (part && part->commit == into.commit) return into.merge(*part);
  kLog.warn("run list commit={} from={} error=\"{}\"", into.commit, from,
            part ? "it is of another commit" : part.error().message);
}

bool may_pass(Code code) { return code == Code::unavailable || code == Code::internal; }

Status dropped(const RunList& list, const ConfiguredRemote& remote, const std::string& why) {
  kLog.info("run list commit={} remote={} not taken: {}", list.commit, remote.options.name, why);
  return Ok{};
}

uint64_t part_number(const std::string& name) {
  uint64_t number = 0;
  auto digits = name.substr(name.rfind('-') + 1);
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

}  // namespace

// Shared with the lookups under way, which may end after whoever waited for them.
struct RunLists::Batch {
  struct State {
    std::vector<Lookup> lookups;
    size_t ended = 0;
  };
  Guarded<State> state;
};

RunLists::RunLists(EntryStore& store, RemoteSet& remotes, Scratch& scratch, std::function<void()> committed)
    : store_(store), remotes_(remotes), scratch_(scratch), committed_(std::move(committed)) {}

std::vector<Entry> RunLists::local_parts(const std::string& commit) {
  auto prefix = commit + "-";
  auto entries = store_.reader().list("", std::string(kListSpace), prefix, kMostParts);
  if (!entries) return {};
  std::erase_if(*entries, [&](const Entry& entry) { return !entry.key.name.starts_with(prefix); });
  return *std::move(entries);
}

Result<std::string> RunLists::read_local(const Entry& part) {
  if (part.bytes > RunList::kMostBytes) return Error{Code::corrupt, "the list is too large"};
  OutgoingEntry outgoing(store_.reader(), scratch_, part);
  auto source = outgoing.artifact();
  if (!source) return std::move(source).error();
  return read_text(**source, RunList::kMostBytes);
}

Result<Committed> RunLists::commit(const std::string& bytes, const Key& key) {
  auto intake = store_.begin();
  auto digest = intake->add_blob(io::as_bytes(bytes));
  if (!digest) return std::move(digest).error();
  ManifestBuilder tree;
  tree.root_file(0644, 0, digest->size, *digest);
  ManifestHeader header;
  header.key = key;
  header.kind = EntryKind::file;
  CommitOptions options{.durable = false, .replace = false, .origin = "local", .push_to = remotes_.push_targets()};
  return intake->commit(tree, std::move(header), options);
}

Result<RunLists::Published> RunLists::publish(const RunList& list) {
  Lookup here;
  add_local(list.commit, here);
  if (here.list && here.list->covers(list)) return Published{list.items.size(), ""};
  auto bytes = list.encode();
  if (!bytes) return std::move(bytes).error();
  uint64_t number = 0;
  for (const auto& part : local_parts(list.commit)) number = std::max(number, part_number(part.key.name) + 1);
  // Another run of this machine may take a number at the same moment.
  for (; number < kMostParts; ++number) {
    auto key = list_key(list.commit, number);
    auto committed = commit(*bytes, key);
    if (!committed) return std::move(committed).error();
    if (committed->result == CommitResult::different) continue;
    committed_();
    return Published{list.items.size(), key.text()};
  }
  return Error{Code::no_space, "the commit has " + std::to_string(kMostParts) + " lists already"};
}

Status RunLists::push(ConfiguredRemote& remote, const Entry& part, const Deadline& until, std::stop_token stop) {
  auto bytes = read_local(part);
  if (!bytes) return std::move(bytes).error();
  auto list = RunList::parse(*bytes);
  if (!list) return Ok{};  // damaged here: the store finds that out by itself
  RunList there{.commit = list->commit};
  bool taken = false;  // somebody was quicker with this number
  for (uint64_t number = 0; number < kMostParts;) {
    auto key = list_key(list->commit, number);
    auto found = read_remote(remote, key, until, stop);
    if (!found && may_pass(found.error().code)) return std::move(found).error();
    bool is_there = found && *found;
    if (is_there) merge_part(there, **found, remote.options.name);
    if (is_there || taken) {
      ++number;
      taken = false;
      continue;
    }
    if (there.covers(*list)) return Ok{};
    RemoteCall call(until, stop);
    MemoryReader reader(*bytes);
    auto stored = remote.remote->store(remote.name_of(key), reader, call);
    if (!stored && may_pass(stored.error().code)) return std::move(stored).error();
    if (!stored) return dropped(*list, remote, stored.error().message);
    if (*stored == StoreResult::stored) return Ok{};
    // Or the answer to a try of our own was lost: either way the part that is there is read next.
    taken = true;
  }
  return dropped(*list, remote, "it has " + std::to_string(kMostParts) + " parts already");
}

void RunLists::add_local(const std::string& commit, Lookup& into) {
  for (const auto& part : local_parts(commit)) {
    auto bytes = read_local(part);
    if (!bytes) continue;
    if (!into.list) into.list = RunList{.commit = commit};
    merge_part(*into.list, *bytes, "this machine");
  }
}

void RunLists::add_remote(ConfiguredRemote& remote, const std::string& commit, const Deadline& until, Lookup& into) {
  for (uint64_t number = 0; number < kMostParts; ++number) {
    auto bytes = read_remote(remote, list_key(commit, number), until, stopping_.get_token());
    if (!bytes) {
      into.trouble = remote.options.name + ": " + bytes.error().message;
      return;
    }
    if (!*bytes) return;
    if (!into.list) into.list = RunList{.commit = commit};
    merge_part(*into.list, **bytes, remote.options.name);
  }
}

RunLists::Lookup RunLists::look_up(const std::string& commit, const Deadline& until) {
  Lookup lookup;
  add_local(commit, lookup);
  for (auto* remote : remotes_.readable()) add_remote(*remote, commit, until, lookup);
  return lookup;
}

std::vector<RunLists::Lookup> RunLists::look_up_all(std::span<const std::string> commits, const Deadline& until,
                                                    std::stop_token stop) {
  auto batch = std::make_shared<Batch>();
  batch->state.lock()->lookups.assign(commits.size(), Lookup{std::nullopt, "time is up"});
  for (size_t i = 0; i < commits.size(); ++i) {
    lookups_.submit([this, batch, i, commit = commits[i], until] {
      auto lookup = look_up(commit, until);
      {
        auto state = batch->state.lock();
        state->lookups[i] = std::move(lookup);
        ++state->ended;
      }
      batch->state.notify_all();
    });
  }
  auto state = batch->state.lock();
  state.wait_until(stop, until.when(), [&](const Batch::State& now) { return now.ended == commits.size(); });
  return state->lookups;
}

RunLists::Search RunLists::search(const std::vector<std::string>& commits,
                                  const std::function<bool(const RunList&)>& enough, const Deadline& until,
                                  std::stop_token stop) {
  Search search;
  while (search.searched < commits.size() && !until.passed() && !stop.stop_requested()) {
    auto count = std::min(kSideBySide, commits.size() - search.searched);
    for (auto& lookup : look_up_all(std::span(commits).subspan(search.searched, count), until, stop)) {
      auto index = search.searched++;
      if (search.trouble.empty()) search.trouble = lookup.trouble;
      if (!lookup.list || lookup.list->items.empty()) continue;
      search.found.push_back({index, *std::move(lookup.list)});
      if (enough(search.found.back().list)) return search;
    }
  }
  return search;
}

}  // namespace hitfs
