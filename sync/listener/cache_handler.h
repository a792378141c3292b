#pragma once

#include <atomic>
#include <stop_token>
#include <string>
#include <vector>

#include "store/daemon_client.h"
#include "store/store_reader.h"
#include "sync/listener/access.h"
#include "sync/listener/host_check.h"
#include "sync/listener/http_server.h"
#include "sync/listener/upload_folder.h"
#include "sync/listener/use_reporter.h"
#include "sync/listener/work_count.h"
#include "sync/options.h"
#include "sync/thread_pool.h"

// The Nx cache protocol, GET and PUT /v1/cache/{hash}, for build tools on this machine (loopback) and for a team
// (serve). The status codes are those that real nx clients (20.8 to 24.0) take without failing a build: GET 200 or 404;
// PUT 200, 409 or 403; 401 as text/plain for an unknown token, where stopping is intended.
namespace hitfs {

// What lookups and uploads work with; all outlive the handler. `quick` runs what only touches the store, `waiting` what
// waits for the daemon.
struct CacheParts {
  StoreReader& reader;
  DaemonClient& daemon;
  UploadFolder& uploads;
  UseReporter& uses;
  ThreadPool& quick;
  ThreadPool& waiting;
  WorkCount& work;
  Milliseconds daemon_patience;
  std::stop_token stop;  // ends the waits for the daemon
};

struct CacheRules {
  ListenerKind kind = ListenerKind::loopback;
  uint64_t max_artifact_bytes = 8ull << 30;
};

// Safe from several threads.
class CacheHandler final : public HttpHandler {
 public:
  CacheHandler(const CacheParts& parts, const CacheRules& rules, HostCheck hosts, Access& access)
      : parts_(parts), rules_(rules), hosts_(std::move(hosts)), access_(access) {}

  std::unique_ptr<HttpTransaction> begin(const HttpRequest& request) override;

 private:
  std::unique_ptr<HttpTransaction> cache_request(const HttpRequest& request, const Grant& grant);
  std::unique_ptr<HttpTransaction> get(const std::string& space, const std::string& name, const Grant& grant);
  std::unique_ptr<HttpTransaction> head(const std::string& space, const std::string& name, const Grant& grant);
  std::unique_ptr<HttpTransaction> put(const HttpRequest& request, const std::string& space, const std::string& name,
                                       const Grant& grant);

  CacheParts parts_;
  CacheRules rules_;
  HostCheck hosts_;
  Access& access_;
  std::atomic<bool> warned_of_host_{false};
};

// The namespace of a name in a cache path: "nx" for decimal hashes; on serve "raw" for other names of [A-Za-z0-9_.-],
// which hitfs itself uses for entries of other namespaces (opaque bytes). "" for what is no name here.
[[nodiscard]] std::string space_of_name(ListenerKind kind, std::string_view name);

}  // namespace hitfs
