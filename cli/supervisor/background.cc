#include "cli/supervisor/background.h"

#include <utility>

namespace hitfs {

void Background::add(Job job) {
  jobs_.lock()->push_back(std::move(job));
  jobs_.notify_all();
}

void Background::serve(std::stop_token stop) {
  while (true) {
    Job job;
    {
      auto jobs = jobs_.lock();
      if (!jobs.wait(stop, [](const auto& waiting) { return !waiting.empty(); }) || stop.stop_requested()) return;
      job = std::move(jobs->front());
      jobs->pop_front();
    }
    job();
  }
}

}  // namespace hitfs
