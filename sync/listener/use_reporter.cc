#include "sync/listener/use_reporter.h"

#include <algorithm>
#include <iterator>

namespace hitfs {

UseReporter::UseReporter(DaemonClient& daemon, std::string front)
    : daemon_(daemon), front_(std::move(front)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

UseReporter::~UseReporter() {
  thread_.request_stop();
  thread_.join();
  flush();
}

void UseReporter::add(Use use) {
  bool full;
  {
    auto collected = collected_.lock();
    if (collected->size() >= kMostKept) return;
    collected->push_back(std::move(use));
    full = collected->size() == kBatch;
  }
  if (full) collected_.notify_all();
}

void UseReporter::flush() {
  // A batch that another thread has taken and not yet told is part of "everything".
  auto turn = sending_.take(Deadline::after(kPatience));
  if (!turn) return;
  while (send_batch()) {
  }
}

bool UseReporter::send_batch() {
  std::vector<Use> uses;
  {
    auto collected = collected_.lock();
    auto end = collected->begin() + static_cast<std::ptrdiff_t>(std::min(kBatch, collected->size()));
    uses.assign(std::make_move_iterator(collected->begin()), std::make_move_iterator(end));
    collected->erase(collected->begin(), end);
  }
  if (uses.empty()) return false;
  auto sent = daemon_.uses(front_, uses, Deadline::after(kPatience));
  // A batch that the daemon does not take would not be taken a second time either.
  if (sent || sent.error().code != Code::unavailable) return true;
  auto collected = collected_.lock();
  if (collected->size() + uses.size() > kMostKept) return false;
  collected->insert(collected->begin(), std::make_move_iterator(uses.begin()), std::make_move_iterator(uses.end()));
  return false;
}

void UseReporter::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      auto collected = collected_.lock();
      auto until = Deadline::after(kPause).when();
      collected.wait_until(stop, until, [](const auto& uses) { return uses.size() >= kBatch; });
    }
    flush();
    // With the daemon away a full batch would come back at once: rest all the same.
    auto collected = collected_.lock();
    if (collected->size() >= kBatch) {
      collected.wait_until(stop, Deadline::after(kPause).when(), [](const auto&) { return false; });
    }
  }
}

}  // namespace hitfs
