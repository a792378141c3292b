#include "sync/prewarmer.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

namespace hitfs {

namespace {

constexpr size_t kMostRemembered = 16;

uint64_t number_of(const std::string& id) { return std::strtoull(id.c_str(), nullptr, 10); }

}  // namespace

// Shared with the pulls under way, which may end after their job.
struct Prewarmer::Job {
  explicit Job(Request asked) : request(std::move(asked)) {}

  struct State {
    Progress progress;
    size_t under_way = 0;
    uint64_t bytes_under_way = 0;
  };
  const Request request;
  Guarded<State> state;
};

Prewarmer::Prewarmer(const Parts& parts)
    : parts_(parts), last_id_(static_cast<uint64_t>(std::random_device{}()) << 20) {}

Prewarmer::~Prewarmer() {
  std::map<uint64_t, Running> jobs;
  jobs.swap(*jobs_.lock());
  for (auto& [id, running] : jobs) running.thread.request_stop();
}

Result<std::string> Prewarmer::begin(Request request) {
  auto job = std::make_shared<Job>(std::move(request));
  auto jobs = jobs_.lock();
  std::vector<uint64_t> ended;
  for (auto& [id, running] : *jobs) {
    if (running.job->state.lock()->progress.done) ended.push_back(id);
  }
  if (jobs->size() - ended.size() >= kMostJobs) return Error{Code::unavailable, "enough is being prewarmed already"};
  for (size_t i = 0; i + kMostRemembered < ended.size(); ++i) jobs->erase(ended[i]);
  auto id = ++last_id_;
  (*jobs)[id] = {job, std::jthread([this, job](const std::stop_token& stop) { run(job, stop); })};
  return std::to_string(id);
}

std::optional<Prewarmer::Progress> Prewarmer::progress(const std::string& id) {
  auto jobs = jobs_.lock();
  auto found = jobs->find(number_of(id));
  if (found == jobs->end()) return std::nullopt;
  return found->second.job->state.lock()->progress;
}

void Prewarmer::stop(const std::string& id) {
  auto jobs = jobs_.lock();
  auto found = jobs->find(number_of(id));
  if (found != jobs->end()) found->second.thread.request_stop();
}

// What the request names, each key once, in the order in which the builds needed them.
std::vector<RunList::Item> Prewarmer::wanted(Job& job, const Deadline& until, const std::stop_token& stop) {
  RunList all;
  for (const auto& key : job.request.keys) all.items.push_back({key});
  if (!job.request.commits.empty()) {
    auto search = parts_.lists.search(
        job.request.commits, [](const RunList& list) { return list.complete; }, until, stop);
    auto state = job.state.lock();
    state->progress.searched = search.searched;
    state->progress.trouble = search.trouble;
    if (!search.found.empty()) {
      auto& named = search.found.back().list.complete ? search.found.back() : search.found.front();
      state->progress.distance = named.index;
      state->progress.commit = named.list.commit;
    }
    // The newest first: an older list is here only because the build of a newer one failed.
    for (const auto& found : search.found) all.merge(found.list);
  }
  std::set<Key> seen;
  // A list that names lists was made by nobody of us.
  std::erase_if(all.items, [&](const RunList::Item& item) {
    return item.key.space == kListSpace || !seen.insert(item.key).second;
  });
  auto state = job.state.lock();
  state->progress.wanted = all.items.size();
  for (const auto& item : all.items) state->progress.wanted_bytes += item.bytes;
  return std::move(all.items);
}

// So that mounts may ask for what is still coming, or is over a limit of this job.
void Prewarmer::announce(const std::vector<RunList::Item>& items) {
  if (parts_.announcements == nullptr) return;
  std::vector<Key> keys;
  for (const auto& item : items) {
    if (!parts_.store.reader().find(item.key)) keys.push_back(item.key);
  }
  parts_.announcements->add(keys);
}

// False when no more may start.
bool Prewarmer::wait_for_turn(Job& job, const Deadline& until, const std::stop_token& stop) {
  // Asked without the job's lock: the fetcher calls back under none of its own.
  auto most = parts_.fetcher.someone_waits() ? kBesideForeground : kSideBySide;
  auto state = job.state.lock();
  bool turn = state.wait_until(stop, until.when(), [&](const Job::State& now) { return now.under_way < most; });
  return turn && !stop.stop_requested() && !until.passed();
}

void Prewarmer::pull(const std::shared_ptr<Job>& job, const RunList::Item& item) {
  if (parts_.store.reader().find(item.key)) {
    ++job->state.lock()->progress.here;
    return;
  }
  {
    auto state = job->state.lock();
    auto& progress = state->progress;
    auto most = job->request.max_bytes;
    auto taken = progress.bytes + state->bytes_under_way;
    if (most > 0 && (taken >= most || item.bytes > most - taken)) {
      ++progress.left_out;
      progress.limit = "bytes";
      return;
    }
    ++state->under_way;
    state->bytes_under_way += item.bytes;
  }
  auto& store = parts_.store;
  auto* announcements = parts_.announcements;
  parts_.fetcher.prewarm(item.key, [job, item, announcements, &store](const FetchReply& reply) {
    if (announcements != nullptr && reply.outcome != FetchOutcome::here) announcements->drop(item.key);
    auto entry =
        reply.outcome == FetchOutcome::here ? store.reader().find(item.key) : Result<Entry>(Error{Code::not_found, ""});
    auto state = job->state.lock();
    auto& progress = state->progress;
    --state->under_way;
    state->bytes_under_way -= item.bytes;
    if (entry) progress.bytes += entry->bytes;
    if (reply.outcome == FetchOutcome::here) ++progress.pulled;
    if (reply.outcome == FetchOutcome::absent) ++progress.missing;
    if (reply.outcome == FetchOutcome::unavailable) {
      ++progress.failed;
      if (progress.trouble.empty()) progress.trouble = reply.why;
    }
    job->state.notify_all();
  });
}

void Prewarmer::run(const std::shared_ptr<Job>& job, const std::stop_token& stop) {
  auto until = Deadline::after(job->request.max_time);
  uint64_t begun = 0;
  auto items = wanted(*job, until, stop);
  announce(items);
  for (const auto& item : items) {
    if (!wait_for_turn(*job, until, stop)) break;
    pull(job, item);
    ++begun;
  }
  auto state = job->state.lock();
  bool all = state.wait_until(stop, until.when(), [](const Job::State& now) { return now.under_way == 0; });
  state->progress.left_out += items.size() - begun;
  if (!all || begun < items.size()) state->progress.limit = stop.stop_requested() ? "stopped" : "time";
  state->progress.done = true;
}

Json to_json(const Prewarmer::Progress& progress) {
  return Json::Object{
      {"done", progress.done},         {"commit", progress.commit},   {"distance", progress.distance},
      {"searched", progress.searched}, {"wanted", progress.wanted},   {"here", progress.here},
      {"pulled", progress.pulled},     {"missing", progress.missing}, {"failed", progress.failed},
      {"left_out", progress.left_out}, {"bytes", progress.bytes},     {"wanted_bytes", progress.wanted_bytes},
      {"limit", progress.limit},       {"trouble", progress.trouble}};
}

}  // namespace hitfs
