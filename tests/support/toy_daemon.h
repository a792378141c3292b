#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/base/guarded.h"
#include "store/daemon_client.h"
#include "sync/listener/http_server.h"
#include "tests/support/raw_http.h"

namespace hitfs::testing {

// A daemon on a real unix socket that answers each route with what the test put there, and keeps what was asked.
// Requests of other routes wait until the test answers them.
class ToyDaemon final : public HttpHandler {
 public:
  struct Asked {
    std::string method, path, query;
    Json body;
  };
  using Answer = std::function<HttpReply(const Json& body)>;

  // Makes the socket and serves it.
  void start(const StorePaths& paths) {
    socket_ = listen_on_unix(paths.daemon_socket());
    server_ = HttpServer::start(socket_.fd.get(), *this, {}).value();
  }
  // As if it were killed: the socket file stays.
  void stop() {
    server_.reset();
    socket_.fd.reset();
  }

  void answer(const std::string& path, Answer with) { (*answers_.lock())[path] = std::move(with); }
  void answer(const std::string& path, std::string_view json) {
    answer(path, [reply = Json::parse(json).value()](const Json&) { return json_reply(200, reply); });
  }

  std::vector<Asked> asked() { return *asked_.lock(); }
  // What was asked of one route, in order.
  std::vector<Json> bodies(const std::string& path) {
    std::vector<Json> found;
    for (auto& one : asked()) {
      if (one.path == path) found.push_back(std::move(one.body));
    }
    return found;
  }
  bool wait_asked(const std::string& path, size_t count) {
    auto asked = asked_.lock();
    return asked.wait_until({}, Deadline::after(Milliseconds(20'000)).when(), [&](const auto& all) {
      return static_cast<size_t>(
                 std::count_if(all.begin(), all.end(), [&](const auto& one) { return one.path == path; })) >= count;
    });
  }
  // The requests that wait; dropping one answers 500.
  Guarded<std::vector<std::shared_ptr<HttpResponder>>> waiting;
  bool wait_waiting(size_t count) {
    auto now = waiting.lock();
    return now.wait_until({}, Deadline::after(Milliseconds(20'000)).when(),
                          [&](const auto& all) { return all.size() >= count; });
  }

  std::unique_ptr<HttpTransaction> begin(const HttpRequest& request) override {
    return with_json_body(1 << 20, [this, request](const Json& body, HttpResponder responder) {
      asked_.lock()->push_back({request.method, request.path, request.query, body});
      asked_.notify_all();
      Answer with;
      {
        auto answers = answers_.lock();
        auto found = answers->find(request.path);
        if (found != answers->end()) with = found->second;
      }
      if (with) return responder.send(with(body));
      waiting.lock()->push_back(std::make_shared<HttpResponder>(std::move(responder)));
      waiting.notify_all();
    });
  }

 private:
  Guarded<std::vector<Asked>> asked_;
  Guarded<std::map<std::string, Answer>> answers_;
  ListeningSocket socket_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace hitfs::testing
