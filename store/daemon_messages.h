#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "store/base/json.h"
#include "store/base/result.h"
#include "store/daemon_client.h"

// What DaemonClient sends and reads as JSON; the fields are in sync/README.md, section "The daemon's interface". An
// answer that lacks what it must have is `internal`: the two sides are of different versions. Pure.
namespace hitfs {

[[nodiscard]] Json fetch_request(const Key& key, Milliseconds wait);
Result<FetchReply> fetch_reply_from(const Json& json);
Result<CommitReply> commit_reply_from(const Json& json);
Result<StoreReply> store_reply_from(const Json& json);
// Whether an event of that kind is about an entry.
[[nodiscard]] bool has_key(DaemonEvent::Kind kind);
Result<EventBatch> event_batch_from(const Json& json);
[[nodiscard]] Json uses_request(const std::string& front, const std::vector<Use>& uses);
[[nodiscard]] Json released_request(const std::string& front, const std::vector<uint64_t>& entry_ids);

// The Error in an answer with a status of 400 or more.
[[nodiscard]] Error error_from(int status, std::string_view body);

}  // namespace hitfs
