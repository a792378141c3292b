#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "store/base/clock.h"
#include "store/entry_store.h"
#include "store/store_paths.h"

// What the processes of this folder are told at their start: resolved by cli/config from flags, environment and file,
// handed over as JSON through an inherited descriptor (cli/process_config), never through a command line.
namespace hitfs {

enum class RemoteMode { off, read, write, readwrite };

struct RemoteOptions {
  std::string name;  // unique; the URL's host and port unless configured
  std::string url;   // nx+https://host/prefix, nx+http://127.0.0.1:3000, file:///mnt/share
  RemoteMode mode = RemoteMode::readwrite;
  std::string token;    // secret; "Authorization: Bearer"
  std::string ca_file;  // further roots beside the system's (PEM)
  bool verify_tls = true;
  bool allow_insecure_token = false;  // the named switch: send the token over clear text to another machine
  int parallel_fetches = 32;
  int parallel_pushes = 4;
};

// How long a build may wait. Each limit is separate; a transfer that progresses never times out.
struct Patience {
  Milliseconds connect{2000};
  Milliseconds first_byte{10000};
  Milliseconds stall{10000};           // no byte for this long ends a transfer
  Milliseconds session_budget{10000};  // sum of waiting beyond useful transfer per build session
};

struct DaemonOptions {
  StorePaths store;
  StoreLimits limits;
  std::vector<RemoteOptions> remotes;  // asked in this order
  Patience patience;
  uint64_t generation = 0;  // part of hashed remote names; raising it forgets everything pushed before
  uint64_t max_artifact_bytes = 8ull << 30;
  uint64_t max_unpacked_bytes = 16ull << 30;
  bool continuous_integration = false;  // push smallest first
  std::string on_push_failed;  // a command of the user's, run by /bin/sh with HITFS_KEY, HITFS_REMOTE, HITFS_WHY
};

enum class ListenerKind {
  loopback,  // for build tools on this machine: one random token, GET 200/404, PUT 200/409/403
  serve,     // for a team: token file, 401/403, optional TLS
};

struct ListenerOptions {
  StorePaths store;
  ListenerKind kind = ListenerKind::loopback;
  std::string address;         // "127.0.0.1:4711": the socket itself is inherited
  std::string loopback_token;  // secret
  std::string tokens_file;
  std::string tls_certificate_file, tls_key_file;
  std::vector<std::string> allowed_hosts;  // further Host headers that are accepted
  uint64_t max_artifact_bytes = 8ull << 30;
  Milliseconds daemon_patience{5000};  // a PUT waits this long for the daemon, then 403
};

}  // namespace hitfs
