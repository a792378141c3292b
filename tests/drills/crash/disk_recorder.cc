#include "tests/drills/crash/disk_recorder.h"

#include <filesystem>

namespace hitfs::testing {

namespace {

thread_local int t_steps = 0;  // of the seam that this thread is in

}  // namespace

std::string describe(const DiskEvent& event) {
  if (!event.mark.empty()) return "mark " + event.mark;
  auto text = std::string(to_string(event.call.kind)) + " " + event.call.path;
  if (!event.call.target.empty()) text += " -> " + event.call.target;
  if (!event.bytes.empty()) {
    text += " " + std::to_string(event.bytes.size()) + " bytes at " + std::to_string(event.call.offset);
  }
  return text;
}

DiskRecorder::DiskRecorder(const std::string& folder) {
  io::install_fault_injector(this);
  observe_disk(folder, this);
}

DiskRecorder::~DiskRecorder() {
  observe_disk("", nullptr);
  io::install_fault_injector(nullptr);
}

void DiskRecorder::mark(const std::string& text) {
  std::lock_guard lock(one_at_a_time_);
  DiskEvent event;
  event.mark = text;
  events_.push_back(std::move(event));
}

std::vector<DiskEvent> DiskRecorder::take() {
  observe_disk("", nullptr);
  std::lock_guard lock(one_at_a_time_);
  return std::move(events_);
}

void DiskRecorder::before(const DiskCall& /*call*/) { one_at_a_time_.lock(); }

void DiskRecorder::after(const DiskCall& call, bool succeeded) {
  if (succeeded) {
    DiskEvent event;
    event.call = call;
    event.bytes = io::as_text(call.bytes);
    event.call.bytes = {};
    events_.push_back(std::move(event));
    if (t_steps == 0) ++outside_[std::filesystem::path(call.path).filename().string()];
  }
  one_at_a_time_.unlock();
}

Status DiskRecorder::before(const Step& step) {
  ++t_steps;
  std::lock_guard lock(steps_mutex_);
  ++steps_[std::string(io::to_string(step.op))];
  return Ok{};
}

void DiskRecorder::after(const Step& /*step*/, bool /*succeeded*/) { --t_steps; }

}  // namespace hitfs::testing
