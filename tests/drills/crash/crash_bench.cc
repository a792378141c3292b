#include "tests/drills/crash/crash_bench.h"

#include <gtest/gtest.h>

#include <future>

#include "store/base/io.h"
#include "store/push_queue.h"
#include "sync/handover.h"
#include "tests/store/store_helpers.h"

namespace hitfs::testing {

namespace {

constexpr std::chrono::minutes kLong{5};
constexpr uint64_t kWholeStore = 20ull << 30;

std::string remote_name(const Key& key) { return RemoteKey::of(key, 0, "nx").name; }

Files tree(unsigned seed) { return {{"x/1", bytes_of(700, seed)}, {"x/2", bytes_of(3000, seed + 1)}, {"y", "same"}}; }

CommitOptions options_of(bool durable, bool push = true) {
  CommitOptions options;
  options.durable = durable;
  if (push) options.push_to = {"team"};
  return options;
}

Status done(const Result<Committed>& committed) {
  if (!committed) return committed.error();
  return Ok{};
}

// Marks the first blob file that is found below cas/ as damaged, by changing a byte in it.
Status damage_a_blob(const StorePaths& paths) {
  for (const auto& item : std::filesystem::recursive_directory_iterator(paths.cas())) {
    if (!item.is_regular_file()) continue;
    std::filesystem::permissions(item.path(), std::filesystem::perms::owner_all);
    auto file = io::open_write(item.path());
    if (!file) return std::move(file).error();
    return io::write_all_at(file->get(), io::as_bytes("damage"), 100, "test");
  }
  return Error{Code::not_found, "no blob"};
}

Status evict_all(EntryStore& store) {
  auto retired = store.make_room(kWholeStore, 0);
  if (!retired) return std::move(retired).error();
  auto all = store.retired();
  if (!all) return std::move(all).error();
  for (const auto& entry : *all) {
    if (auto released = store.release(entry.id); !released) return released;
  }
  return Ok{};
}

RunList list_of(const std::vector<std::string>& names) {
  RunList list{.commit = std::string(40, 'a'), .complete = true};
  for (const auto& name : names) list.items.push_back({Key{"", "nx", name}, "task-" + name + ":build"});
  return list;
}

Status nothing(CrashBench& /*bench*/) { return Ok{}; }

CrashOperation store_tree(const std::string& name, const std::string& key, Files files, bool durable) {
  return {name, durable, {flat(key)}, nothing, [=](CrashBench& bench) {
            return done(put_tree(bench.store(), flat(key), files, options_of(durable)));
          }};
}

std::vector<CrashOperation> storing() {
  std::vector<CrashOperation> all;
  all.push_back(store_tree("store, small", "a", tree(1), true));
  all.push_back(store_tree("store, large", "a", {{"1", bytes_of(90'000, 5)}, {"2", bytes_of(300'000, 6)}}, true));
  all.push_back(store_tree("make a store", "a", tree(1), true));
  all.back().from_nothing = true;
  all.push_back(store_tree("store, not yet synced", "a", {{"1", bytes_of(90'000, 5)}, {"2", "small"}}, false));
  all.push_back({"store over HTTP", true, {Key{"", "cc", "a"}}, nothing, [](CrashBench& bench) {
                   return bench.hand_over("upload", bytes_of(150'000, 9), {"", "cc", "a"});
                 }});
  auto replaced = store_tree("replace", "a", {{"1", bytes_of(90'000, 7)}, {"y", "same"}}, true);
  replaced.prepare = [](CrashBench& bench) { return done(put_tree(bench.store(), flat("a"), tree(1))); };
  all.push_back(replaced);
  return all;
}

std::vector<CrashOperation> of_the_daemon() {
  std::vector<CrashOperation> all;
  all.push_back({"pull", false, {flat("remote 1"), flat("remote 2")}, nothing, [](CrashBench& bench) -> Status {
                   if (auto first = bench.pull(flat("remote 1")); !first) return first;
                   return bench.pull(flat("remote 2"));
                 }});
  all.push_back(
      {"pull and flush", true, {flat("remote 1"), flat("remote 2")}, nothing, [](CrashBench& bench) -> Status {
         if (auto first = bench.pull(flat("remote 1")); !first) return first;
         if (auto second = bench.pull(flat("remote 2")); !second) return second;
         return bench.store().flush();
       }});
  all.push_back({"push",
                 false,
                 {flat("a")},
                 [](CrashBench& bench) { return done(put_tree(bench.store(), flat("a"), tree(1), options_of(true))); },
                 [](CrashBench& bench) { return bench.push_everything(); }});
  all.push_back({"run list", false, {Key{"", "list", std::string(40, 'a') + "-0"}}, nothing, [](CrashBench& bench) {
                   return bench.publish_list(list_of({"1", "2"}));
                 }});
  return all;
}

std::vector<CrashOperation> upkeep() {
  std::vector<CrashOperation> all;
  auto fill = [](CrashBench& bench) -> Status {
    if (auto first = done(put_tree(bench.store(), flat("old 1"), tree(11))); !first) return first;
    return done(put_tree(bench.store(), flat("old 2"), {{"large", bytes_of(100'000, 12)}, {"y", "same"}}));
  };
  all.push_back({"evict", true, {flat("old 1"), flat("old 2")}, fill, [](CrashBench& bench) {
                   return evict_all(bench.store());
                 }});
  all.push_back({"verify",
                 true,
                 {flat("base"), flat("old 2")},
                 [=](CrashBench& bench) -> Status {
                   if (auto filled = fill(bench); !filled) return filled;
                   return damage_a_blob(bench.paths());
                 },
                 [](CrashBench& bench) -> Status {
                   auto report = bench.store().verify({}, {});
                   if (!report) return std::move(report).error();
                   return Ok{};
                 }});
  all.back().finds_damage = true;
  all.push_back({"log.db", true, {}, nothing, [](CrashBench& bench) -> Status {
                   for (int i = 0; i < 300; ++i) {
                     bench.store().access_log().record(flat("k" + std::to_string(i)), AccessKind::hit, "here");
                   }
                   auto written = bench.store().access_log().last_number();
                   if (!written) return std::move(written).error();
                   return Ok{};
                 }});
  return all;
}

std::optional<std::string> contents(StoreReader& reader, const Key& key, std::string& trouble) {
  auto entry = reader.find(key);
  Result<Files> files = !entry ? Result<Files>(entry.error()) : read_tree(reader, key);
  if (!files) {
    if (files.error().code != Code::not_found || entry) trouble += key.text() + ": " + files.error().message + "\n";
    return std::nullopt;
  }
  std::string all = std::to_string(static_cast<int>(entry->kind));
  for (const auto& [path, bytes] : *files) all += "\n" + path + "\n" + bytes;
  if (entry->artifact) {
    auto bytes = read_blob(reader, *entry->artifact);
    if (!bytes) trouble += key.text() + ": " + bytes.error().message + "\n";
    if (bytes && Digest::of(io::as_bytes(*bytes)) != *entry->artifact) trouble += key.text() + ": wrong bytes\n";
  }
  return all;
}

}  // namespace

std::map<std::string, std::string> remote_contents() {
  return {{remote_name(flat("remote 1")), bytes_of(2'000, 30)}, {remote_name(flat("remote 2")), bytes_of(160'000, 31)}};
}

CrashBench::CrashBench(const StorePaths& paths, const std::string& boot_id,
                       const std::map<std::string, std::string>& remote)
    : paths_(paths) {
  EntryStore::Options options;
  options.boot_id = boot_id;
  auto store = EntryStore::open(paths, options);
  if (!store) throw std::runtime_error("the store does not open: " + store.error().message);
  store_ = *std::move(store);
  auto fake = std::make_unique<FakeRemote>();
  for (const auto& [name, bytes] : remote) fake->put(name, bytes);
  std::vector<std::unique_ptr<ConfiguredRemote>> remotes;
  remotes.push_back(configured("team", std::move(fake)));
  remotes_ = std::make_unique<RemoteSet>(std::move(remotes));
  auto scratch = Scratch::open(paths.staging("daemon"));
  if (!scratch) throw std::runtime_error(scratch.error().message);
  scratch_ = *std::move(scratch);
  lists_ = std::make_unique<RunLists>(*store_, *remotes_, *scratch_, [] {});
}

CrashBench::~CrashBench() { timers_.stop(); }

Status CrashBench::pull(const Key& key) {
  Fetcher fetcher({*store_, *remotes_, *scratch_, sessions_, timers_}, GuardLimits{}, 1);
  std::promise<FetchReply> promise;
  auto future = promise.get_future();
  fetcher.fetch(key, kLong, [&](FetchReply reply) { promise.set_value(std::move(reply)); });
  auto reply = future.get();
  if (reply.outcome != FetchOutcome::here) return Error{Code::internal, "not pulled: " + reply.why};
  return Ok{};
}

Status CrashBench::push_everything() {
  Pusher pusher({*store_, *remotes_, *scratch_, sessions_, lists_.get()}, {.first_pause = Milliseconds(1)});
  if (!pusher.wait_until_empty(Deadline::after(kLong), {})) return Error{Code::internal, "not pushed"};
  return Ok{};
}

Status CrashBench::publish_list(const RunList& list) {
  auto published = lists_->publish(list);
  if (!published) return std::move(published).error();
  return Ok{};
}

Status CrashBench::hand_over(const std::string& file, std::string_view bytes, const Key& key) {
  auto folder = paths_.staging("listener");
  if (auto made = io::make_directories(folder, 0700, "test"); !made) return made;
  {
    auto staged = io::create(folder / file, "upload", {.exclusive = false});
    if (!staged) return std::move(staged).error();
    if (auto written = io::write_all(staged->get(), io::as_bytes(bytes), "upload"); !written) return written;
  }
  Handover handover(*store_, *remotes_, paths_, GuardLimits{}, [] {});
  auto stored = handover.store("listener", file, key);
  if (!stored) return std::move(stored).error();
  if (stored->outcome == StoreOutcome::stored || stored->outcome == StoreOutcome::same) return Ok{};
  return Error{Code::internal, "not stored: " + stored->why};
}

std::vector<CrashOperation> crash_operations() {
  auto all = storing();
  for (auto& operation : of_the_daemon()) all.push_back(std::move(operation));
  for (auto& operation : upkeep()) all.push_back(std::move(operation));
  return all;
}

Seen look_at(EntryStore& store, const std::vector<Key>& keys) {
  Seen seen;
  for (const auto& key : keys) seen.entries[key] = contents(store.reader(), key, seen.trouble);
  auto stats = store.push_queue().stats();
  seen.pushes = stats.waiting + stats.running;
  return seen;
}

}  // namespace hitfs::testing
