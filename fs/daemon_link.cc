#include "fs/daemon_link.h"

#include <algorithm>
#include <exception>

#include "store/base/backoff.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr Milliseconds kReportEvery{200};
constexpr Milliseconds kReportPatience{5000};
constexpr Milliseconds kPollPatience{40'000};  // the daemon answers a long poll after about 30 s
constexpr size_t kMostUses = 10'000;
constexpr size_t kUsesPerReport = 1000;

// Waits for `time`. False when a stop was requested.
bool pause(const std::stop_token& stop, Milliseconds time) {
  Guarded<bool> never;
  never.lock().wait_until(stop, system_clock().now() + time, [](bool) { return false; });
  return !stop.stop_requested();
}

}  // namespace

DaemonLink::DaemonLink(std::string front, DaemonClient& daemon, Filesystem& filesystem)
    : front_(std::move(front)),
      daemon_(&daemon),
      filesystem_(&filesystem),
      events_thread_([this](std::stop_token stop) { follow_events(std::move(stop)); }),
      report_thread_([this](std::stop_token stop) { report_often(std::move(stop)); }) {}

DaemonLink::~DaemonLink() {
  events_thread_.request_stop();
  report_thread_.request_stop();
}

void DaemonLink::follow_events(std::stop_token stop) {
  Backoff backoff(Milliseconds(50), Milliseconds(2000));
  std::string epoch;
  uint64_t after = 0;
  bool lost = false;
  while (!stop.stop_requested()) {
    auto batch = daemon_->events(front_, epoch, after, Deadline::after(kPollPatience));
    if (!batch) {
      if (!std::exchange(lost, true)) kLog.warn("daemon_lost front={} error=\"{}\"", front_, batch.error().message);
      pause(stop, backoff.next());
      continue;
    }
    if (std::exchange(lost, false)) kLog.info("daemon_back front={}", front_);
    backoff.reset();
    epoch = batch->epoch;
    after = batch->next;
    handle(*batch);
  }
}

void DaemonLink::handle(const EventBatch& batch) {
  bool asked = std::any_of(batch.events.begin(), batch.events.end(),
                           [](const DaemonEvent& event) { return event.kind == DaemonEvent::Kind::report; });
  try {
    filesystem_->on_events(batch);
    // Here, not on the other thread: asking for the next events says that the report is done.
    if (asked) report(Deadline::after(kReportPatience));
  } catch (const std::exception& failure) {
    kLog.error("exception thread=events what=\"{}\"", failure.what());
  }
}

void DaemonLink::report_often(std::stop_token stop) {
  while (pause(stop, kReportEvery)) {
    try {
      report(Deadline::after(kReportPatience));
    } catch (const std::exception& failure) {
      kLog.error("exception thread=report what=\"{}\"", failure.what());
    }
  }
}

void DaemonLink::report(const Deadline& until) {
  // Who reports only what another thread has left over would be done before it is.
  auto turn = reporting_.take(until);
  if (turn) report_all(until);
}

void DaemonLink::leave(const Deadline& until) {
  // Else a question for events that comes afterwards would make it known again.
  events_thread_.request_stop();
  report(until);
  auto left = daemon_->call("POST", "/v1/left", Json::Object{{"front", front_}}, until);
  if (!left) kLog.info("daemon not told of the end front={} error=\"{}\"", front_, left.error().message);
}

void DaemonLink::report_all(const Deadline& until) {
  Reports now;
  {
    auto state = reports_.lock();
    std::swap(now, *state);
  }
  for (auto& use : filesystem_->take_uses()) now.uses.push_back(std::move(use));
  auto released = filesystem_->take_released();
  now.released.insert(now.released.end(), released.begin(), released.end());

  if (!now.released.empty() && daemon_->released(front_, now.released, until)) now.released.clear();
  size_t told = 0;
  while (told < now.uses.size()) {
    size_t count = std::min(kUsesPerReport, now.uses.size() - told);
    auto first = now.uses.begin() + static_cast<ptrdiff_t>(told);
    if (!daemon_->uses(front_, {first, first + static_cast<ptrdiff_t>(count)}, until)) break;
    told += count;
  }
  size_t keep = std::min(now.uses.size() - told, kMostUses);
  now.uses.erase(now.uses.begin(), now.uses.end() - static_cast<ptrdiff_t>(keep));

  auto state = reports_.lock();
  std::move(now.uses.begin(), now.uses.end(), std::back_inserter(state->uses));
  state->released.insert(state->released.end(), now.released.begin(), now.released.end());
}

}  // namespace hitfs::fs
