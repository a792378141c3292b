#pragma once

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

[[nodiscard]] Json verify_json(const VerifyReport& report);

}  // namespace hitfs
