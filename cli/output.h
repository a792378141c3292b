#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/result.h"

namespace hitfs {

// Where commands speak: results to standard output, everything else to standard error as "hitfs: ...". One thread.
class Output {
 public:
  explicit Output(bool json) : json_(json) {}

  [[nodiscard]] bool json() const { return json_; }
  // A result for people; nothing when JSON is asked for.
  void line(std::string_view text) const;
  // A result for programs, one line; nothing unless JSON is asked for.
  void value(const Json& json) const;
  void note(std::string_view text) const;
  // Says what went wrong (as {"error", "code"} for programs) and returns the exit code for it.
  int fail(const Error& error) const;

 private:
  bool json_;
};

[[nodiscard]] int exit_code_of(Code code);

// How far a longer job is: a bar on a terminal, a line every ten seconds elsewhere, nothing for JSON. The destructor
// takes the bar away. One thread.
class Progress {
 public:
  Progress(const Output& output, std::string doing);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `total` 0: not known.
  void update(uint64_t done, uint64_t total, std::string_view what);

 private:
  std::string doing_;
  bool terminal_;
  bool silent_;
  bool drawn_ = false;
  MonotonicTime next_;
};

}  // namespace hitfs
