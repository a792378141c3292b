#pragma once

#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/store_paths.h"

namespace hitfs {

// A connection to the supervisor of one store; requests and answers are in cli/README.md. What was asked for with it
// (a lease, a mount) is held until it is closed, also by the end of this process. One thread.
class ControlClient {
 public:
  // `unavailable` when no supervisor listens.
  static Result<ControlClient> connect(const StorePaths& store);

  // Sends a request and waits for its answer. An answer {ok: false, code, error} becomes that Error.
  Result<Json> request(const Json& request, const Deadline& until);

  // Whether a refusal says that this supervisor ends, so that another one can be asked soon.
  [[nodiscard]] static bool is_ending(const Error& refusal);

  // Until the supervisor closes the connection, which it does by ending.
  Status wait_until_closed(const Deadline& until);

 private:
  explicit ControlClient(UniqueFd socket) : socket_(std::move(socket)) {}
  Status wait_readable(const Deadline& until);
  UniqueFd socket_;
};

}  // namespace hitfs
