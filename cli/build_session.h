#pragma once

#include <functional>
#include <string>

#include "cli/output.h"
#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/daemon_client.h"

// One build as the daemon counts it, from its begin to the summary line.
namespace hitfs {

// "" when the daemon does not answer: the build goes on uncounted.
[[nodiscard]] std::string begin_session(DaemonClient& daemon);

struct FlushResult {
  uint64_t pending = 0, parked = 0;
  bool stuck = false;        // no remote that uploads wait for takes any now
  Json::Array left;          // {key, bytes, remote}
  Json::Array not_writable;  // names of remotes that may be written by their mode, but said no
};
enum class GiveUp { at_limit, when_stuck };
// Waits until every upload is done, at most `limit`, or until `stop()` says so (asked a few times a second). Draws its
// progress.
Result<FlushResult> flush_pushes(DaemonClient& daemon, const Output& output, Milliseconds limit,
                                 const std::function<bool()>& stop, GiveUp give_up);
// Says what was not uploaded, by name and size.
void name_what_is_left(const Output& output, const FlushResult& left);

// The one line of the end: "hitfs: mount · 214 hit (209 prewarmed) 0 miss · 0 pushed 0 refused 0 failed 0 pending ·
// 9.8 s". The last figure is the time lost waiting. `rung` is "mount" or "endpoint".
[[nodiscard]] std::string summary_line(const std::string& rung, const Json& counters);
// Ends the session and prints its line (or JSON, with the members of `more` too) to standard error.
void print_summary(DaemonClient& daemon, const std::string& session, const std::string& rung, const Output& output,
                   const Json& more = Json());

}  // namespace hitfs
