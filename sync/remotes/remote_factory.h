#pragma once

#include <memory>
#include <string>

#include "store/base/result.h"
#include "sync/options.h"
#include "sync/remotes/guarded_remote.h"
#include "sync/remotes/remote.h"

namespace hitfs {

// What the environment says about HTTP, as Node does: read once at the start, passed on as values.
struct RemoteEnvironment {
  std::string extra_ca_file;  // NODE_EXTRA_CA_CERTS: further roots; only warned about when it cannot be read
  bool verify_tls = true;     // false for NODE_TLS_REJECT_UNAUTHORIZED=0
  std::string http_proxy;     // HTTP_PROXY, which libcurl ignores in capitals; the other proxy variables are libcurl's

  [[nodiscard]] static RemoteEnvironment of_process();
};

// The remote that `options.url` names, without any guard: `nx+http(s)://host/prefix` or `file:///shared/drive`.
// `invalid_argument` names what is wrong and the remedy: an unknown scheme, a URL that cannot be read, a token that
// would travel in clear text (`allow_insecure_token`), a CA file without certificates. Asks nobody.
Result<std::unique_ptr<Remote>> open_remote(const RemoteOptions& options, const Patience& patience,
                                            const RemoteEnvironment& environment);

// The same behind breaker and pacing: what the daemon uses.
Result<std::unique_ptr<GuardedRemote>> open_guarded_remote(const RemoteOptions& options,
                                                           const GuardedRemote::Options& guard,
                                                           const RemoteEnvironment& environment);

}  // namespace hitfs
