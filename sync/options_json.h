#pragma once

#include "store/base/json.h"
#include "store/base/result.h"
#include "sync/options.h"

// The options of this folder's processes as JSON, for the descriptor that they inherit (cli/process_config). They hold
// secrets: never log them. Each *_from() reads what to_json() wrote; what is missing keeps its default, and
// `invalid_argument` names a member of the wrong kind. Pure.
namespace hitfs {

[[nodiscard]] Json to_json(const RemoteOptions& options);
[[nodiscard]] Json to_json(const Patience& patience);
[[nodiscard]] Json to_json(const StoreLimits& limits);
[[nodiscard]] Json to_json(const DaemonOptions& options);
[[nodiscard]] Json to_json(const ListenerOptions& options);

Result<RemoteOptions> remote_options_from(const Json& json);
Result<Patience> patience_from(const Json& json);
Result<StoreLimits> store_limits_from(const Json& json);
Result<DaemonOptions> daemon_options_from(const Json& json);
Result<ListenerOptions> listener_options_from(const Json& json);

// "off", "read", "write", "readwrite".
[[nodiscard]] std::string_view to_string(RemoteMode mode);

}  // namespace hitfs
