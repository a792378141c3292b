#pragma once

#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/daemon_client.h"

// A prewarm as commands see it: the daemon does it in the background (sync/prewarmer).
namespace hitfs {

// As many first parents are looked at for a run list.
inline constexpr size_t kMostPrewarmCommits = 100;

struct PrewarmRequest {
  std::vector<std::string> commits;  // nearest first
  std::vector<std::string> keys;     // Key::text(), besides
  uint64_t max_bytes = 0;            // 0: no limit
  Milliseconds max_time{0};
};

// The id of the job.
Result<std::string> begin_prewarm(DaemonClient& daemon, const PrewarmRequest& request);
// The fields of GET /v1/prewarm/ID (sync/README.md).
Result<Json> prewarm_progress(DaemonClient& daemon, const std::string& id);
// Starts nothing more; how far it came.
Result<Json> end_prewarm(DaemonClient& daemon, const std::string& id);

// "1a2b3c4d5e6f (2 before HEAD)", of what the daemon found: {commit, distance}. `base` is what the user called the
// revision.
[[nodiscard]] std::string commit_place(const Json& found, const std::string& base);

// "prewarmed 41 of 42 (12 MB) from the list of 1a2b3c4d5e6f (HEAD): 1 missing". `base` is "" when keys were named.
[[nodiscard]] std::string prewarm_line(const Json& progress, const std::string& base);

}  // namespace hitfs
