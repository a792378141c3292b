#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "store/base/io.h"
#include "tests/drills/crash/disk_tap.h"

namespace hitfs::testing {

// A change of the folder as it happened, or a mark of the test between two of them.
struct DiskEvent {
  DiskCall call{DiskCall::Kind::sync_all, ""};  // `bytes` is empty: they are below
  std::string bytes;
  std::string mark;  // not empty: a mark, no call
};

[[nodiscard]] std::string describe(const DiskEvent& event);

// Writes down every change of a folder, and of each whether it went through the seam of the store (store/base/io.h).
// While it lives; one at a time. Changes of several threads are made one after the other.
class DiskRecorder final : public DiskObserver, public io::FaultInjector {
 public:
  explicit DiskRecorder(const std::string& folder);
  ~DiskRecorder() override;
  DiskRecorder(const DiskRecorder&) = delete;
  DiskRecorder& operator=(const DiskRecorder&) = delete;

  void mark(const std::string& text);
  // Ends the recording.
  [[nodiscard]] std::vector<DiskEvent> take();
  // Changes that no step of the seam announced, by file name.
  [[nodiscard]] const std::map<std::string, size_t>& outside() const { return outside_; }
  // Steps that the seam announced, by operation.
  [[nodiscard]] const std::map<std::string, size_t>& steps() const { return steps_; }

 private:
  void before(const DiskCall& call) override;
  void after(const DiskCall& call, bool succeeded) override;
  Status before(const Step& step) override;
  void after(const Step& step, bool succeeded) override;

  std::mutex one_at_a_time_;  // held from before() to after()
  std::vector<DiskEvent> events_;
  std::map<std::string, size_t> outside_;
  std::mutex steps_mutex_;
  std::map<std::string, size_t> steps_;
};

}  // namespace hitfs::testing
