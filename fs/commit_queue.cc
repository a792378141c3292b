#include "fs/commit_queue.h"

#include <algorithm>
#include <utility>

namespace hitfs::fs {

namespace {

constexpr size_t kThreads = 4;
constexpr Milliseconds kFirstPause{1000};
constexpr Milliseconds kFirstPauseRefused{60'000};
constexpr int kMostDoublings = 6;  // about a minute, and about an hour

}  // namespace

CommitQueue::CommitQueue(const Clock& clock, Commit commit) : clock_(clock), commit_(std::move(commit)) {
  for (size_t i = 0; i < kThreads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
  }
  threads_.emplace_back([this](const std::stop_token& stop) { watch_waiters(stop); });
}

CommitQueue::~CommitQueue() { stop(); }

void CommitQueue::stop() {
  for (auto& thread : threads_) thread.request_stop();
  threads_.clear();
  auto waiters = std::exchange(state_.lock()->waiters, {});
  for (auto& waiter : waiters) waiter.done(false);
}

void CommitQueue::wake() {
  ++state_.lock()->changes;
  state_.notify_all();
}

void CommitQueue::add(uint64_t tree, const std::string& name) {
  {
    auto state = state_.lock();
    state->jobs[tree] = {.name = name, .due = clock_.now()};
    state->by_name[name].insert(tree);
  }
  wake();
}

void CommitQueue::resume() {
  {
    auto state = state_.lock();
    for (auto& [tree, job] : state->jobs) {
      if (job.state != Job::State::running) try_again(*state, tree, job);
    }
  }
  wake();
}

void CommitQueue::again(const std::string& name) {
  {
    auto state = state_.lock();
    for (auto& [tree, job] : state->jobs) {
      if (job.state == Job::State::refused && job.name == name) try_again(*state, tree, job);
    }
  }
  wake();
}

size_t CommitQueue::waiting() {
  auto state = state_.lock();
  return static_cast<size_t>(std::count_if(state->jobs.begin(), state->jobs.end(),
                                           [](const auto& job) { return job.second.state != Job::State::refused; }));
}

void CommitQueue::when_settled(std::set<uint64_t> trees, Milliseconds patience, Settled done) {
  enum class Now { wait, all, refused } now = Now::wait;
  {
    auto state = state_.lock();
    std::erase_if(trees, [&](uint64_t tree) { return !state->jobs.contains(tree); });
    if (trees.empty()) now = Now::all;
    for (uint64_t tree : trees) {
      const auto& job = state->jobs[tree];
      bool put_off = job.state == Job::State::waiting && job.failures > 0;
      if (put_off || job.state == Job::State::refused) now = Now::refused;
    }
    if (now == Now::wait) state->waiters.push_back({std::move(trees), clock_.now() + patience, std::move(done)});
  }
  switch (now) {
    case Now::wait: return wake();
    case Now::all: return done(true);
    case Now::refused: return done(false);
  }
}

void CommitQueue::try_again(State& state, uint64_t tree, Job& job) const {
  state.by_name[job.name].insert(tree);
  job.state = Job::State::waiting;
  job.due = clock_.now();
}

// The first tree whose time has come and that has no older one of its name before it; else when to look again.
std::optional<uint64_t> CommitQueue::next(State& state, MonotonicTime& due) const {
  auto now = clock_.now();
  for (auto& [tree, job] : state.jobs) {
    if (job.state == Job::State::refused) {
      if (job.due <= now) {
        try_again(state, tree, job);
      } else {
        due = std::min(due, job.due);
      }
    }
    if (job.state != Job::State::waiting || *state.by_name[job.name].begin() != tree) continue;
    if (job.due <= now) return tree;
    due = std::min(due, job.due);
  }
  return std::nullopt;
}

void CommitQueue::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::optional<uint64_t> tree;
    {
      auto state = state_.lock();
      auto due = MonotonicTime::max();
      tree = next(*state, due);
      if (tree) {
        state->jobs[*tree].state = Job::State::running;
      } else {
        auto seen = state->changes;
        auto wake_at = std::chrono::steady_clock::now() + Deadline::at(due).left(clock_);
        state.wait_until(stop, wake_at, [&](const State& changed) { return changed.changes != seen; });
      }
    }
    if (tree && !stop.stop_requested()) settle(*tree, commit_(*tree, stop));
  }
}

void CommitQueue::settle(uint64_t tree, CommitOutcome outcome) {
  std::vector<std::pair<Settled, bool>> ready;
  {
    auto state = state_.lock();
    auto found = state->jobs.find(tree);
    auto& job = found->second;
    auto first_pause = outcome == CommitOutcome::refused ? kFirstPauseRefused : kFirstPause;
    job.due = clock_.now() + first_pause * (1 << std::min(job.failures++, kMostDoublings));
    if (outcome == CommitOutcome::later) {
      job.state = Job::State::waiting;
    } else {
      auto same_name = state->by_name.find(job.name);
      same_name->second.erase(tree);
      if (same_name->second.empty()) state->by_name.erase(same_name);
    }
    // A refused tree keeps its job, but holds up no newer one of its name.
    if (outcome == CommitOutcome::refused) job.state = Job::State::refused;
    bool over = outcome == CommitOutcome::committed || outcome == CommitOutcome::kept;
    if (over) state->jobs.erase(found);
    std::vector<Waiter> rest;
    for (auto& waiter : state->waiters) {
      bool concerned = waiter.trees.contains(tree);
      if (concerned && over) waiter.trees.erase(tree);
      bool failed = concerned && !over;
      if (failed || waiter.trees.empty()) {
        ready.emplace_back(std::move(waiter.done), !failed);
      } else {
        rest.push_back(std::move(waiter));
      }
    }
    state->waiters = std::move(rest);
  }
  wake();
  for (auto& [done, all] : ready) done(all);
}

void CommitQueue::watch_waiters(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<Waiter> late;
    {
      auto state = state_.lock();
      auto now = clock_.now();
      auto next_deadline = MonotonicTime::max();
      std::vector<Waiter> rest;
      for (auto& waiter : state->waiters) {
        if (waiter.deadline > now) next_deadline = std::min(next_deadline, waiter.deadline);
        (waiter.deadline > now ? rest : late).push_back(std::move(waiter));
      }
      state->waiters = std::move(rest);
      if (late.empty()) {
        auto seen = state->changes;
        auto wake_at = std::chrono::steady_clock::now() + Deadline::at(next_deadline).left(clock_);
        state.wait_until(stop, wake_at, [&](const State& changed) { return changed.changes != seen; });
      }
    }
    for (auto& waiter : late) waiter.done(false);
  }
}

}  // namespace hitfs::fs
