#pragma once

#include <memory>

#include "sync/listener/cache_handler.h"

namespace hitfs {

// Takes an artifact in: staged while it arrives, then handed to the daemon, which validates it, makes it durable and
// indexes it. 200: stored, or the same bytes were there; 409: other bytes are there; 403: refused, or it could not be
// taken (disk full, no daemon within its patience), and nothing is kept. A body that ends early leaves nothing. `parts`
// outlives the transaction.
[[nodiscard]] std::unique_ptr<HttpTransaction> upload(const CacheParts& parts, const Key& key, uint64_t size);

}  // namespace hitfs
