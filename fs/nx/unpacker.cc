#include "fs/nx/unpacker.h"

#include <utility>

#include "store/base/json.h"
#include "store/base/log.h"
#include "store/key.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

}  // namespace

Unpacker::Unpacker(DaemonClient& daemon, std::string space)
    : daemon_(daemon), space_(std::move(space)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void Unpacker::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  answer_waiters(true);
}

void Unpacker::add(std::vector<std::string> names) {
  {
    auto state = state_.lock();
    for (auto& name : names) {
      if (state->known.insert(name).second) state->names.push_back(std::move(name));
    }
  }
  state_.notify_all();
}

void Unpacker::when_done(std::function<void()> done) {
  {
    auto state = state_.lock();
    if ((state->working || !state->names.empty()) && !thread_.get_stop_token().stop_requested()) {
      state->waiters.push_back({Deadline::after(kPatience), std::move(done)});
      return;
    }
  }
  done();
}

void Unpacker::run(const std::stop_token& stop) {
  while (true) {
    std::string name;
    {
      auto state = state_.lock();
      state->working = false;
      bool idle = state->names.empty();
      if (!idle) {
        name = std::move(state->names.front());
        state->names.pop_front();
        state->known.erase(name);
        state->working = true;
      }
    }
    answer_waiters(name.empty());
    if (stop.stop_requested()) return;
    if (!name.empty()) {
      unpack(name);
      continue;
    }
    if (!state_.lock().wait(stop, [](const State& now) { return !now.names.empty(); })) return;
  }
}

// The daemon goes on with what takes longer; then its commit tells.
void Unpacker::unpack(const std::string& name) {
  Json body;
  body["key"] = Key{"", space_, name}.text();
  auto done = daemon_.call("POST", "/v1/unpack", body, Deadline::after(kPatience));
  if (!done) kLog.info("unpack name={} not_now=\"{}\"", name, done.error().message);
}

void Unpacker::answer_waiters(bool all) {
  std::vector<Waiter> ready;
  {
    auto state = state_.lock();
    std::vector<Waiter> rest;
    for (auto& waiter : state->waiters) (all || waiter.until.passed() ? ready : rest).push_back(std::move(waiter));
    state->waiters = std::move(rest);
  }
  for (auto& waiter : ready) waiter.done();
}

}  // namespace hitfs::fs
