#include "sync/control.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "store/access_log.h"
#include "store/daemon_messages.h"
#include "store/push_queue.h"
#include "sync/outgoing.h"
#include "sync/status.h"

namespace hitfs {

namespace {

// A batch of uses or released numbers is the largest body; a front sends at most some thousands at once.
constexpr size_t kMostBody = 16 << 20;
constexpr size_t kMostShown = 1'000;
constexpr Milliseconds kReportPatience{1'000};
constexpr std::string_view kSessions = "/v1/sessions/";
constexpr std::string_view kPrewarms = "/v1/prewarm/";

int status_of(Code code) {
  switch (code) {
    case Code::not_found: return 404;
    case Code::invalid_argument: return 400;
    case Code::permission_denied: return 403;
    case Code::unavailable: return 503;
    case Code::no_space: return 507;
    case Code::corrupt: return 422;
    case Code::internal: return 500;
  }
  return 500;
}

HttpReply reply_of(Result<Json> result) { return result ? json_reply(200, *result) : error_reply(result.error()); }

std::string_view to_text(FetchOutcome outcome) {
  switch (outcome) {
    case FetchOutcome::here: return "here";
    case FetchOutcome::absent: return "absent";
    case FetchOutcome::pending: return "pending";
    case FetchOutcome::unavailable: return "unavailable";
  }
  return "unavailable";
}

std::string_view to_text(StoreOutcome outcome) {
  switch (outcome) {
    case StoreOutcome::stored: return "stored";
    case StoreOutcome::same: return "same";
    case StoreOutcome::different: return "different";
    case StoreOutcome::refused: return "refused";
  }
  return "refused";
}

std::string_view to_text(DaemonEvent::Kind kind) {
  switch (kind) {
    case DaemonEvent::Kind::committed: return "committed";
    case DaemonEvent::Kind::retired: return "retired";
    case DaemonEvent::Kind::report: return "report";
    case DaemonEvent::Kind::announced: return "announced";
  }
  return "report";
}

Json to_json(const EventBatch& batch) {
  Json::Array events;
  for (const auto& event : batch.events) {
    events.push_back(Json::Object{{"number", event.number},
                                  {"kind", to_text(event.kind)},
                                  {"key", has_key(event.kind) ? event.key.text() : ""},
                                  {"entry", event.entry_id}});
  }
  return Json::Object{
      {"reset", batch.reset}, {"epoch", batch.epoch}, {"next", batch.next}, {"events", std::move(events)}};
}

// Keys on this interface always carry their namespace.
Result<Key> key_of(const Json& value) { return Key::parse(value.text_or(""), ""); }

uint64_t to_number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10); }

}  // namespace

HttpReply error_reply(const Error& error) {
  return json_reply(status_of(error.code), Json::Object{{"code", to_string(error.code)}, {"error", error.message}});
}

std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    auto end = std::min(query.find('&'), query.size());
    auto pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    auto equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    auto value = percent_decode(pair.substr(equals + 1));
    return value ? *value : "";
  }
  return "";
}

Control::Control(const Parts& parts) : parts_(parts) {}

Control::Route Control::route_of(const HttpRequest& request) {
  struct Row {
    std::string_view method, path;
    Route route;
  };
  static constexpr Row kRoutes[] = {
      {"POST", "/v1/fetch", &Control::fetch},
      {"POST", "/v1/commit", &Control::commit},
      {"POST", "/v1/store", &Control::store},
      {"POST", "/v1/artifact", &Control::artifact},
      {"POST", "/v1/unpack", &Control::unpack},
      {"GET", "/v1/events", &Control::events},
      {"GET", "/v1/announced", &Control::announced},
      {"POST", "/v1/left", &Control::left},
      {"POST", "/v1/released", &Control::released},
      {"POST", "/v1/uses", &Control::uses},
      {"GET", "/v1/status", &Control::status},
      {"GET", "/v1/why", &Control::why},
      {"GET", "/v1/activity", &Control::activity},
      {"POST", "/v1/flush", &Control::flush},
      {"POST", "/v1/verify", &Control::verify},
      {"POST", "/v1/sessions", &Control::begin_session},
      {"POST", "/v1/lists", &Control::publish_list},
      {"POST", "/v1/lists/search", &Control::search_lists},
      {"POST", "/v1/prewarm", &Control::begin_prewarm},
      {"POST", "/v1/unpark", &Control::unpark},
      {"POST", "/v1/stop", &Control::stop},
  };
  for (const auto& row : kRoutes) {
    if (request.method == row.method && request.path == row.path) return row.route;
  }
  if (request.method == "DELETE" && request.path.starts_with(kSessions)) return &Control::end_session;
  if (request.method == "GET" && request.path.starts_with(kPrewarms)) return &Control::prewarm_progress;
  if (request.method == "DELETE" && request.path.starts_with(kPrewarms)) return &Control::end_prewarm;
  return nullptr;
}

std::unique_ptr<HttpTransaction> Control::begin(const HttpRequest& request) {
  auto route = route_of(request);
  if (!route) return answer(error_reply({Code::not_found, "no route " + request.method + " " + request.path}));
  return with_json_body(kMostBody, [this, route, request](const Json& body, HttpResponder responder) {
    (this->*route)(request, body, std::move(responder));
  });
}

void Control::later(ThreadPool& pool, HttpResponder responder, std::function<Result<Json>()> work) {
  // std::function wants copyable captures; the responder is shared by its one user.
  auto shared = std::make_shared<HttpResponder>(std::move(responder));
  pool.submit([shared, work = std::move(work)] { shared->send(reply_of(work())); });
}

void Control::fetch(const HttpRequest&, const Json& body, HttpResponder responder) {
  auto key = key_of(body["key"]);
  if (!key) return responder.send(error_reply(key.error()));
  auto shared = std::make_shared<HttpResponder>(std::move(responder));
  auto wait = Milliseconds(body["wait_ms"].integer_or(0));
  auto* announcements = &parts_.announcements;
  parts_.fetcher.fetch(*key, wait, [announcements, key = *key, shared](FetchReply reply) {
    if (reply.outcome != FetchOutcome::here) announcements->drop(key);
    shared->send(json_reply(
        200, Json::Object{{"outcome", to_text(reply.outcome)}, {"entry", reply.entry_id}, {"why", reply.why}}));
  });
}

void Control::commit(const HttpRequest&, const Json& body, HttpResponder responder) {
  ++*handing_over_.lock();
  later(commits_, std::move(responder), [this, body]() -> Result<Json> {
    auto reply =
        parts_.handover.commit(body["front"].text_or(""), body["draft"].text_or(""), body["durable"].bool_or(false));
    --*handing_over_.lock();
    handing_over_.notify_all();
    if (!reply) return std::move(reply).error();
    return Json(Json::Object{{"entry", reply->entry_id}, {"replaced", reply->replaced}});
  });
}

void Control::store(const HttpRequest&, const Json& body, HttpResponder responder) {
  later(commits_, std::move(responder), [this, body]() -> Result<Json> {
    auto key = key_of(body["key"]);
    if (!key) return std::move(key).error();
    auto reply = parts_.handover.store(body["front"].text_or(""), body["file"].text_or(""), *key);
    if (!reply) return std::move(reply).error();
    // What was there already is a result of this build all the same; what is new, its commit has noted.
    if (reply->outcome == StoreOutcome::same) parts_.sessions.stored(*key);
    return Json(Json::Object{{"outcome", to_text(reply->outcome)}, {"why", reply->why}});
  });
}

void Control::artifact(const HttpRequest&, const Json& body, HttpResponder responder) {
  later(commits_, std::move(responder), [this, body]() -> Result<Json> {
    auto key = key_of(body["key"]);
    if (!key) return std::move(key).error();
    auto entry = parts_.store.reader().find(*key);
    if (!entry) return std::move(entry).error();
    if (entry->artifact) return Json(Json::Object{{"size", entry->artifact->size}});
    auto packed = pack_artifact(parts_.store.reader(), parts_.scratch, *entry);
    if (!packed) return std::move(packed).error();
    auto intake = parts_.store.begin();
    auto digest = intake->adopt((*packed)->path());
    if (!digest) return std::move(digest).error();
    auto attached = parts_.store.attach_artifact(entry->id, *digest, *intake);
    if (!attached) return std::move(attached).error();
    return Json(Json::Object{{"size", digest->size}});
  });
}

void Control::unpack(const HttpRequest&, const Json& body, HttpResponder responder) {
  later(commits_, std::move(responder), [this, body]() -> Result<Json> {
    auto key = key_of(body["key"]);
    if (!key) return std::move(key).error();
    auto unpacked = parts_.handover.unpack(*key);
    if (!unpacked) return std::move(unpacked).error();
    return Json(Json::Object{{"entry", unpacked->entry_id}});
  });
}

void Control::events(const HttpRequest& request, const Json&, HttpResponder responder) {
  auto shared = std::make_shared<HttpResponder>(std::move(responder));
  parts_.events.poll(query_value(request.query, "front"), query_value(request.query, "epoch"),
                     to_number(query_value(request.query, "after")),
                     [shared](const EventBatch& batch) { shared->send(json_reply(200, to_json(batch))); });
}

void Control::left(const HttpRequest&, const Json& body, HttpResponder responder) {
  parts_.events.forget(body["front"].text_or(""));
  responder.send(json_reply(200, Json(Json::Object{})));
}

void Control::released(const HttpRequest&, const Json& body, HttpResponder responder) {
  std::vector<uint64_t> entries;
  for (const auto& id : body["entries"].items()) entries.push_back(static_cast<uint64_t>(id.integer_or(0)));
  later(commits_, std::move(responder), [this, front = body["front"].text_or(""), entries]() -> Result<Json> {
    parts_.retirement.released(front, entries);
    return Json(Json::Object{});
  });
}

void Control::uses(const HttpRequest&, const Json& body, HttpResponder responder) {
  for (const auto& item : body["uses"].items()) {
    auto key = key_of(item["key"]);
    if (!key) continue;
    Use use{*std::move(key), static_cast<uint64_t>(item["entry"].integer_or(0)), item["hit"].bool_or(true)};
    // What is not here is counted by the fetcher, which knows a miss from a failure.
    if (!use.hit) continue;
    auto entry = parts_.store.reader().find(use.key);
    parts_.sessions.hit(use.key, entry && entry->origin.ends_with(kPrewarmed));
    parts_.store.access_log().record(use.key, AccessKind::hit, body["front"].text_or(""));
    // Only the order of eviction depends on it.
    [[maybe_unused]] auto touched = parts_.store.touch(use.entry_id);
  }
  responder.send(json_reply(200, Json::Object{}));
}

void Control::status(const HttpRequest&, const Json&, HttpResponder responder) {
  auto status = status_json(parts_.store, parts_.remotes, parts_.fetcher, parts_.sessions);
  status["verified_bytes"] = verified_bytes_.load();
  responder.send(json_reply(200, status));
}

void Control::activity(const HttpRequest& request, const Json&, HttpResponder responder) {
  auto after = query_value(request.query, "after");
  responder.send(reply_of(
      activity_json(parts_.store.access_log(), after.empty() ? std::nullopt : std::optional(to_number(after)))));
}

void Control::why(const HttpRequest& request, const Json&, HttpResponder responder) {
  auto key = Key::parse(query_value(request.query, "key"), "");
  if (!key) return responder.send(error_reply(key.error()));
  responder.send(reply_of(why_json(parts_.store, *key)));
}

Json Control::queue_json() {
  auto& queue = parts_.store.push_queue();
  auto stats = queue.stats();
  Json::Array left;
  if (auto pending = queue.pending(kMostShown)) {
    for (const auto& job : *pending) {
      left.push_back(Json::Object{{"key", job.key.text()}, {"bytes", job.bytes}, {"remote", job.remote}});
    }
  }
  const size_t handing_over = *handing_over_.lock();
  const bool some = stats.waiting + stats.running > 0;
  return Json::Object{{"pending", stats.waiting + stats.running + handing_over},
                      {"stuck", some && handing_over == 0 && !parts_.pusher.promising()},
                      {"pending_bytes", stats.waiting_bytes},
                      {"parked", stats.parked > 0 && parked_for_a_writable() ? stats.parked : 0},
                      {"not_writable", not_writable()},
                      {"left", std::move(left)}};
}

// What a remote refused before its mode became "read" is not news.
bool Control::parked_for_a_writable() {
  const auto& targets = parts_.remotes.push_targets();
  if (targets.empty()) return false;
  auto parked = parts_.store.push_queue().parked(kMostShown);
  // Of more than can be looked at some may be news.
  if (!parked || parked->size() >= kMostShown) return true;
  return std::any_of(parked->begin(), parked->end(), [&](const ParkedPush& push) {
    return std::find(targets.begin(), targets.end(), push.job.remote) != targets.end();
  });
}

Json::Array Control::not_writable() {
  Json::Array names;
  for (const auto* remote : parts_.remotes.writable()) {
    if (remote->write_denied) names.emplace_back(remote->options.name);
  }
  return names;
}

void Control::flush(const HttpRequest&, const Json& body, HttpResponder responder) {
  auto until = Deadline::after(Milliseconds(body["timeout_ms"].integer_or(0)));
  auto wait = body["give_up"].bool_or(false) ? Pusher::Wait::while_promising : Pusher::Wait::for_all;
  later(long_tasks_, std::move(responder), [this, until, wait]() -> Result<Json> {
    handing_over_.lock().wait_until(stopping_.get_token(), until.when(), [](size_t commits) { return commits == 0; });
    if (auto flushed = parts_.store.flush(); !flushed) return std::move(flushed).error();
    parts_.pusher.wait_until_empty(until, stopping_.get_token(), wait);
    return queue_json();
  });
}

void Control::verify(const HttpRequest&, const Json& body, HttpResponder responder) {
  later(long_tasks_, std::move(responder), [this, body]() -> Result<Json> {
    std::optional<Key> only;
    if (!body["key"].is_null()) {
      auto key = key_of(body["key"]);
      if (!key) return std::move(key).error();
      only = *std::move(key);
    }
    verified_bytes_ = 0;
    auto report = parts_.store.verify(only, [this](uint64_t bytes) {
      verified_bytes_ = bytes;
      return !stopping_.stop_requested();
    });
    if (!report) return std::move(report).error();
    return verify_json(*report);
  });
}

void Control::begin_session(const HttpRequest&, const Json&, HttpResponder responder) {
  responder.send(json_reply(200, Json::Object{{"session", parts_.sessions.begin()}}));
}

void Control::end_session(const HttpRequest& request, const Json&, HttpResponder responder) {
  auto id = request.path.substr(kSessions.size());
  auto shared = std::make_shared<HttpResponder>(std::move(responder));
  // The fronts report in batches: what they still hold belongs to this session.
  parts_.events.collect_reports(kReportPatience, [this, id, shared] {
    auto counters = parts_.sessions.end(id);
    if (!counters) return shared->send(error_reply({Code::not_found, "no session " + id}));
    auto json = to_json(*counters);
    auto stats = parts_.store.push_queue().stats();
    json["pending"] = stats.waiting + stats.running;
    shared->send(json_reply(200, json));
  });
}

void Control::unpark(const HttpRequest&, const Json&, HttpResponder responder) {
  auto count = parts_.store.push_queue().unpark();
  if (!count) return responder.send(error_reply(count.error()));
  parts_.pusher.wake();
  responder.send(json_reply(200, Json::Object{{"unparked", *count}}));
}

void Control::stop(const HttpRequest&, const Json&, HttpResponder responder) {
  responder.send(json_reply(200, Json::Object{}));
  parts_.stop();
}

}  // namespace hitfs
