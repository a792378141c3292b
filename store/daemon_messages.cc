#include "store/daemon_messages.h"

#include <array>
#include <utility>

namespace hitfs {

namespace {

template <typename Value, size_t kCount>
using Names = std::array<std::pair<std::string_view, Value>, kCount>;

constexpr Names<FetchOutcome, 4> kFetchOutcomes{{{"here", FetchOutcome::here},
                                                 {"absent", FetchOutcome::absent},
                                                 {"pending", FetchOutcome::pending},
                                                 {"unavailable", FetchOutcome::unavailable}}};
constexpr Names<StoreOutcome, 4> kStoreOutcomes{{{"stored", StoreOutcome::stored},
                                                 {"same", StoreOutcome::same},
                                                 {"different", StoreOutcome::different},
                                                 {"refused", StoreOutcome::refused}}};
constexpr Names<DaemonEvent::Kind, 4> kEventKinds{{{"committed", DaemonEvent::Kind::committed},
                                                   {"retired", DaemonEvent::Kind::retired},
                                                   {"report", DaemonEvent::Kind::report},
                                                   {"announced", DaemonEvent::Kind::announced}}};
constexpr std::array kCodes{Code::not_found, Code::invalid_argument, Code::permission_denied, Code::unavailable,
                            Code::no_space,  Code::corrupt,          Code::internal};

template <typename Value, size_t kCount>
Result<Value> named(const Names<Value, kCount>& names, const Json& json, std::string_view member) {
  auto text = json[member].text_or("");
  for (const auto& [name, value] : names) {
    if (name == text) return value;
  }
  return Error{Code::internal, "the daemon's answer has no known " + std::string(member) + ": is it another version?"};
}

uint64_t number_in(const Json& json, std::string_view member) {
  return static_cast<uint64_t>(json[member].integer_or(0));
}

Code code_of_status(int status) {
  switch (status) {
    case 404: return Code::not_found;
    case 400: return Code::invalid_argument;
    case 401:
    case 403: return Code::permission_denied;
    case 503: return Code::unavailable;
    default: return Code::internal;
  }
}

Result<DaemonEvent> event_from(const Json& json) {
  auto kind = named(kEventKinds, json, "kind");
  if (!kind) return std::move(kind).error();
  DaemonEvent event;
  event.kind = *kind;
  event.number = number_in(json, "number");
  event.entry_id = number_in(json, "entry");
  if (!has_key(event.kind)) return event;
  auto key = Key::parse(json["key"].text_or(""), "");
  if (!key) return in_context("an event of the daemon", std::move(key).error());
  event.key = *std::move(key);
  return event;
}

}  // namespace

bool has_key(DaemonEvent::Kind kind) {
  return kind == DaemonEvent::Kind::committed || kind == DaemonEvent::Kind::retired;
}

Json fetch_request(const Key& key, Milliseconds wait) {
  return Json::Object{{"key", key.text()}, {"wait_ms", wait.count()}};
}

Result<FetchReply> fetch_reply_from(const Json& json) {
  auto outcome = named(kFetchOutcomes, json, "outcome");
  if (!outcome) return std::move(outcome).error();
  return FetchReply{*outcome, number_in(json, "entry"), json["why"].text_or("")};
}

Result<CommitReply> commit_reply_from(const Json& json) {
  auto entry = json["entry"].integer_or(0);
  if (entry <= 0) return Error{Code::internal, "the daemon's answer has no entry: is it another version?"};
  return CommitReply{static_cast<uint64_t>(entry), json["replaced"].bool_or(false)};
}

Result<StoreReply> store_reply_from(const Json& json) {
  auto outcome = named(kStoreOutcomes, json, "outcome");
  if (!outcome) return std::move(outcome).error();
  return StoreReply{*outcome, json["why"].text_or("")};
}

Result<EventBatch> event_batch_from(const Json& json) {
  EventBatch batch;
  batch.reset = json["reset"].bool_or(false);
  batch.epoch = json["epoch"].text_or("");
  batch.next = number_in(json, "next");
  if (batch.epoch.empty()) return Error{Code::internal, "the daemon's answer has no epoch: is it another version?"};
  for (const auto& item : json["events"].items()) {
    auto event = event_from(item);
    if (!event) return std::move(event).error();
    batch.events.push_back(*std::move(event));
  }
  return batch;
}

Json uses_request(const std::string& front, const std::vector<Use>& uses) {
  Json::Array items;
  items.reserve(uses.size());
  for (const auto& use : uses) {
    items.push_back(Json::Object{{"key", use.key.text()}, {"entry", use.entry_id}, {"hit", use.hit}});
  }
  return Json::Object{{"front", front}, {"uses", std::move(items)}};
}

Json released_request(const std::string& front, const std::vector<uint64_t>& entry_ids) {
  Json::Array items;
  items.reserve(entry_ids.size());
  for (auto id : entry_ids) items.push_back(id);
  return Json::Object{{"front", front}, {"entries", std::move(items)}};
}

Error error_from(int status, std::string_view body) {
  auto json = Json::parse(body);
  if (!json || !(*json)["error"].is_text()) {
    return {code_of_status(status), "the daemon answered with status " + std::to_string(status)};
  }
  const auto& answer = std::as_const(*json);
  auto code_text = answer["code"].text_or("");
  for (auto code : kCodes) {
    if (to_string(code) == code_text) return {code, answer["error"].text_or("")};
  }
  return {code_of_status(status), answer["error"].text_or("")};
}

}  // namespace hitfs
