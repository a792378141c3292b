#include "tests/support/fake_daemon.h"

#include <fstream>
#include <iterator>

#include "store/base/io.h"

namespace hitfs::testing {

FakeDaemon::~FakeDaemon() {
  auto held = std::exchange(state_.lock()->held, {});
  for (auto& question : held) question.done({});
}

void FakeDaemon::set_up(bool up) { state_.lock()->up = up; }
void FakeDaemon::remote_has(const Key& key, TreeText tree) { state_.lock()->remote[key] = std::move(tree); }
void FakeDaemon::hold_fetches(bool hold) { state_.lock()->hold_fetches = hold; }
void FakeDaemon::fail_commits(std::optional<Error> error) { state_.lock()->commit_error = std::move(error); }
void FakeDaemon::lose_commit_answers(bool lose) { state_.lock()->lose_answers = lose; }
void FakeDaemon::move_staged_files(bool move) { state_.lock()->move = move; }
void FakeDaemon::on_commit(std::function<void()> hook) { state_.lock()->on_commit = std::move(hook); }
void FakeDaemon::on_event(std::function<void(const DaemonEvent&)> hook) { state_.lock()->on_event = std::move(hook); }
size_t FakeDaemon::fetches() { return state_.lock()->fetches; }
std::vector<std::string> FakeDaemon::calls() { return state_.lock()->calls; }

void FakeDaemon::hold_commits(bool hold) {
  state_.lock()->hold_commits = hold;
  state_.notify_all();
}

void FakeDaemon::wait_for_commits_begun(size_t count) {
  auto state = state_.lock();
  state.wait({}, [&](const State& now) { return now.commits_begun >= count; });
}

void FakeDaemon::wait_for_calls(size_t count) {
  auto state = state_.lock();
  state.wait({}, [&](const State& now) { return now.calls.size() >= count; });
}

FetchReply FakeDaemon::answer_to(const Key& key) {
  TreeText tree;
  {
    auto state = state_.lock();
    if (!state->up) return {FetchOutcome::unavailable, 0, "no daemon"};
    auto found = state->remote.find(key);
    if (found == state->remote.end()) return {FetchOutcome::absent, 0, ""};
    tree = found->second;
  }
  if (auto here = store_.find(key)) return {FetchOutcome::here, here->id, ""};
  auto entry = store_.commit(key, tree);
  tell(DaemonEvent::Kind::committed, entry);
  return {FetchOutcome::here, entry.id, ""};
}

void FakeDaemon::fetch(const Key& key, Milliseconds, std::function<void(FetchReply)> done) {
  {
    auto state = state_.lock();
    ++state->fetches;
    if (state->hold_fetches) {
      state->held.push_back({key, std::move(done)});
      return;
    }
  }
  done(answer_to(key));
}

void FakeDaemon::answer_fetches() {
  auto held = std::exchange(state_.lock()->held, {});
  for (auto& question : held) question.done(answer_to(question.key));
}

void FakeDaemon::announce(const std::vector<Key>& keys) {
  std::function<void(const DaemonEvent&)> hook;
  {
    auto state = state_.lock();
    state->announced.insert(state->announced.end(), keys.begin(), keys.end());
    hook = state->on_event;
  }
  DaemonEvent event;
  event.kind = DaemonEvent::Kind::announced;
  if (hook) hook(event);
}

Json FakeDaemon::announced_after(size_t count) {
  auto state = state_.lock();
  Json::Array keys;
  for (size_t i = count; i < state->announced.size(); ++i) keys.emplace_back(state->announced[i].text());
  return Json::Object{{"next", state->announced.size()}, {"keys", std::move(keys)}};
}

void FakeDaemon::tell(DaemonEvent::Kind kind, const Entry& entry) {
  auto hook = state_.lock()->on_event;
  DaemonEvent event;
  event.kind = kind;
  event.key = entry.key;
  event.entry_id = entry.id;
  if (hook) hook(event);
}

Result<CommitReply> FakeDaemon::commit(const std::string& front, const std::string& draft, bool, const Deadline&) {
  bool move = true;
  std::function<void()> hook;
  {
    auto state = state_.lock();
    ++state->commits_begun;
    state_.notify_all();
    state.wait({}, [](const State& now) { return !now.hold_commits; });
    if (!state->up) return Error{Code::unavailable, "no daemon"};
    if (state->commit_error) return *state->commit_error;
    move = state->move;
    hook = state->on_commit;
  }
  std::ifstream file(paths_.staging(front) / draft, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  auto view = ManifestView::parse(io::as_bytes(bytes));
  if (!view) return Error{Code::corrupt, "draft " + draft + ": " + view.error().message};
  std::optional<Entry> retired;
  auto entry = store_.commit_draft(*view, paths_.staging(front), move, &retired);
  if (!entry) return std::move(entry).error();
  if (hook) hook();
  tell(DaemonEvent::Kind::committed, *entry);
  if (retired) tell(DaemonEvent::Kind::retired, *retired);
  if (state_.lock()->lose_answers) return Error{Code::unavailable, "the answer was lost"};
  return CommitReply{entry->id, retired.has_value()};
}

Result<StoreReply> FakeDaemon::store(const std::string&, const std::string&, const Key&, const Deadline&) {
  return Error{Code::unavailable, "a mount stores no artifacts"};
}

void FakeDaemon::say(DaemonEvent event) {
  state_.lock()->said.push_back(std::move(event));
  state_.notify_all();
}

void FakeDaemon::hold_uses(bool hold) {
  state_.lock()->hold_uses = hold;
  state_.notify_all();
}

void FakeDaemon::interrupt() {
  state_.lock()->interrupted = true;
  state_.notify_all();
}

bool FakeDaemon::wait_for_polls(size_t count, Milliseconds limit) {
  return state_.lock().wait_until({}, Deadline::after(limit).when(),
                                  [&](const State& now) { return now.polls >= count; });
}

bool FakeDaemon::wait_for_uses(size_t count, Milliseconds limit) {
  return state_.lock().wait_until({}, Deadline::after(limit).when(),
                                  [&](const State& now) { return now.uses_begun >= count; });
}

std::vector<Key> FakeDaemon::uses_told() { return state_.lock()->uses; }

Result<EventBatch> FakeDaemon::events(const std::string&, const std::string&, uint64_t, const Deadline& until) {
  auto state = state_.lock();
  ++state->polls;
  state_.notify_all();
  state.wait_until({}, until.when(), [](const State& now) { return now.interrupted || !now.said.empty(); });
  if (state->interrupted) return Error{Code::unavailable, "interrupted"};
  EventBatch batch;
  std::swap(batch.events, state->said);
  return batch;
}

Status FakeDaemon::released(const std::string&, const std::vector<uint64_t>& entry_ids, const Deadline&) {
  for (uint64_t id : entry_ids) store_.release(id);
  return Ok{};
}

Status FakeDaemon::uses(const std::string&, const std::vector<Use>& uses, const Deadline&) {
  auto state = state_.lock();
  state->uses_begun += uses.size();
  state_.notify_all();
  state.wait({}, [](const State& now) { return !now.hold_uses; });
  for (const auto& use : uses) state->uses.push_back(use.key);
  return Ok{};
}

Result<Json> FakeDaemon::call(const std::string& method, const std::string& target, const Json& body, const Deadline&) {
  constexpr std::string_view kAnnounced = "/v1/announced?after=";
  if (target.starts_with(kAnnounced)) {
    if (!state_.lock()->up) return Error{Code::unavailable, "no daemon"};
    return announced_after(std::stoul(target.substr(kAnnounced.size())));
  }
  state_.lock()->calls.push_back(method + " " + target + " " + body.dump());
  state_.notify_all();
  return Json();
}

}  // namespace hitfs::testing
