#pragma once

#include <string>

#include "cli/context.h"
#include "cli/lease.h"
#include "cli/prewarm.h"
#include "store/base/clock.h"

namespace hitfs {

// A prewarm that survives the daemon: when that has ended, its successor is told to go on, a few times. One thread.
class PrewarmJob {
 public:
  // Holds the lease. `context` outlives it.
  PrewarmJob(const Context& context, Lease lease, PrewarmRequest request);

  // How far it is, begun if need be; what came before a restart of the daemon is counted. An error when there is no
  // daemon that goes on with it.
  Result<Json> progress();
  // Starts nothing more, and waits a moment for the last figures.
  Result<Json> end();

 private:
  Status begin();
  Result<Json> ask();
  [[nodiscard]] Json with_earlier(Json progress) const;

  const Context& context_;
  Lease lease_;
  PrewarmRequest request_;
  const Deadline until_;
  std::string id_;  // "": to be begun
  int begun_ = 0;
  int64_t pulled_ = 0, bytes_ = 0;  // by daemons before this one, and so far
  int64_t earlier_pulled_ = 0, earlier_bytes_ = 0;
};

}  // namespace hitfs
