#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sync/listener/cache_handler.h"

namespace hitfs {

// Answers 200 with the artifact of the first of `keys` (never none) that is here or can be fetched, else 404; every
// fault is a 404. What is here is answered at once; else the daemon is asked for as long as it says "pending": its own
// patience ends that. `parts` outlives the transaction.
[[nodiscard]] std::unique_ptr<HttpTransaction> look_up(const CacheParts& parts, std::vector<Key> keys);

// The 200 of an artifact that is here in its wire form; none for everything else. Does not wait.
[[nodiscard]] std::optional<HttpReply> local_artifact(const CacheParts& parts, const Key& key);

}  // namespace hitfs
