#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "store/base/guarded.h"
#include "store/store_paths.h"
#include "sync/announcements.h"
#include "sync/event_log.h"
#include "sync/fetcher.h"
#include "sync/handover.h"
#include "sync/listener/http_server.h"
#include "sync/prewarmer.h"
#include "sync/pusher.h"
#include "sync/retirement.h"
#include "sync/run_lists.h"
#include "sync/sessions.h"
#include "sync/thread_pool.h"

namespace hitfs {

// The daemon's interface on hitfs.sock: routes as in sync/README.md. A request that may take long (commit, store,
// flush, verify) runs on a pool of its own, so that a lookup never waits for it. Safe from several threads.
class Control final : public HttpHandler {
 public:
  struct Parts {  // all outlive it
    EntryStore& store;
    RemoteSet& remotes;
    Scratch& scratch;
    Fetcher& fetcher;
    Pusher& pusher;
    Handover& handover;
    Retirement& retirement;
    EventLog& events;
    Announcements& announcements;
    Sessions& sessions;
    RunLists& lists;
    Prewarmer& prewarmer;
    std::function<void()> stop;  // asks the daemon to end
  };
  explicit Control(const Parts& parts);
  ~Control() override { stopping_.request_stop(); }

  std::unique_ptr<HttpTransaction> begin(const HttpRequest& request) override;

 private:
  using Route = void (Control::*)(const HttpRequest& request, const Json& body, HttpResponder responder);
  [[nodiscard]] static Route route_of(const HttpRequest& request);

  void fetch(const HttpRequest&, const Json& body, HttpResponder responder);
  void commit(const HttpRequest&, const Json& body, HttpResponder responder);
  void store(const HttpRequest&, const Json& body, HttpResponder responder);
  void artifact(const HttpRequest&, const Json& body, HttpResponder responder);
  void unpack(const HttpRequest&, const Json& body, HttpResponder responder);
  void events(const HttpRequest& request, const Json& body, HttpResponder responder);
  void left(const HttpRequest&, const Json& body, HttpResponder responder);
  void released(const HttpRequest&, const Json& body, HttpResponder responder);
  void uses(const HttpRequest&, const Json& body, HttpResponder responder);
  void status(const HttpRequest&, const Json& body, HttpResponder responder);
  void why(const HttpRequest& request, const Json& body, HttpResponder responder);
  void activity(const HttpRequest& request, const Json& body, HttpResponder responder);
  void flush(const HttpRequest&, const Json& body, HttpResponder responder);
  void verify(const HttpRequest&, const Json& body, HttpResponder responder);
  void begin_session(const HttpRequest&, const Json& body, HttpResponder responder);
  void end_session(const HttpRequest& request, const Json& body, HttpResponder responder);
  // Run lists and prewarm: control_lists.cc.
  void publish_list(const HttpRequest&, const Json& body, HttpResponder responder);
  void search_lists(const HttpRequest&, const Json& body, HttpResponder responder);
  void begin_prewarm(const HttpRequest&, const Json& body, HttpResponder responder);
  void prewarm_progress(const HttpRequest& request, const Json&, HttpResponder responder);
  void end_prewarm(const HttpRequest& request, const Json&, HttpResponder responder);
  void announced(const HttpRequest& request, const Json&, HttpResponder responder);
  void unpark(const HttpRequest&, const Json& body, HttpResponder responder);
  void stop(const HttpRequest&, const Json& body, HttpResponder responder);

  // Runs `work` on a pool and answers with what it returns.
  void later(ThreadPool& pool, HttpResponder responder, std::function<Result<Json>()> work);
  Json queue_json();
  bool parked_for_a_writable();
  Json::Array not_writable();

  Parts parts_;
  std::stop_source stopping_;                // ends the waits of flush and verify
  std::atomic<uint64_t> verified_bytes_{0};  // by the verify that runs, else by the last one
  Guarded<size_t> handing_over_;             // commits that mounts have asked for and that are not uploads yet
  ThreadPool commits_{4};
  ThreadPool long_tasks_{4};
};

// The answer for an error: its status, and {code, error}.
[[nodiscard]] HttpReply error_reply(const Error& error);

// The value of `name` in a raw query string, percent-decoded; "" when it is not there.
[[nodiscard]] std::string query_value(std::string_view query, std::string_view name);

}  // namespace hitfs
