#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace hitfs {

// The log of a supervisor without a terminal: standard error is a file; when it is larger than `limit` it becomes
// "<file>.1" (the one before goes) and a new one begins, so both together stay below twice the limit and one line.
// One owner, one thread.
class BoundedLog {
 public:
  // Without a path nothing is ever turned over: standard error is a terminal or the journal.
  explicit BoundedLog(std::filesystem::path path = {}, uint64_t limit = 1 << 20)
      : path_(std::move(path)), limit_(limit) {}

  // A line of a child, written as it is.
  void line(const std::string& text);
  // Turns the file over when it is large: our own lines go to standard error without passing here.
  void look_at_size();

 private:
  std::filesystem::path path_;
  uint64_t limit_;
};

}  // namespace hitfs
