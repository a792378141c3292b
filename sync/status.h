#pragma once

#include <optional>

#include "store/access_log.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/entry_store.h"
#include "sync/fetcher.h"
#include "sync/remote_set.h"
#include "sync/sessions.h"

namespace hitfs {

// What `hitfs status --json` shows of the daemon: store, remotes with their breakers, queue, counters.
[[nodiscard]] Json status_json(EntryStore& store, RemoteSet& remotes, Fetcher& fetcher, Sessions& sessions);

// What is known of a key: `state` ("here", "pushing", "not here") and its history, newest first.
Result<Json> why_json(EntryStore& store, const Key& key);

// What happened after the record with that number, oldest first, and the number to go on with; without one only that.
Result<Json> activity_json(AccessLog& log, std::optional<uint64_t> after);

[[nodiscard]] Json verify_json(const VerifyReport& report);

}  // namespace hitfs
