#include "sync/status.h"

#include <unistd.h>

#include "store/access_log.h"
#include "store/push_queue.h"

namespace hitfs {

namespace {

constexpr size_t kMostParkedShown = 100;
constexpr size_t kMostHistory = 50;
constexpr size_t kMostActivity = 1'000;

Json store_json(const StoreStats& stats) {
  return Json::Object{{"entries", stats.entries},     {"retired_entries", stats.retired_entries},
                      {"blobs", stats.blobs},         {"bytes", stats.bytes},
                      {"files", stats.files},         {"max_bytes", stats.max_bytes},
                      {"max_files", stats.max_files}, {"evicted_entries", stats.evicted_entries}};
}

Json queue_json(PushQueue& queue) {
  auto stats = queue.stats();
  Json::Array parked;
  if (auto list = queue.parked(kMostParkedShown)) {
    for (const auto& one : *list) {
      parked.push_back(Json::Object{{"key", one.job.key.text()},
                                    {"remote", one.job.remote},
                                    {"bytes", one.job.bytes},
                                    {"why", one.why},
                                    {"since_ms", one.since_ms}});
    }
  }
  return Json::Object{{"waiting", stats.waiting},
                      {"running", stats.running},
                      {"parked", stats.parked},
                      {"waiting_bytes", stats.waiting_bytes},
                      {"parked_pushes", std::move(parked)}};
}

Json record_json(const AccessRecord& record) {
  return Json::Object{{"time_ms", record.time_ms}, {"kind", to_string(record.kind)}, {"detail", record.detail}};
}

Json pulls_json(const std::vector<Fetcher::Progress>& pulls) {
  Json::Array list;
  for (const auto& pull : pulls) {
    list.push_back(Json::Object{
        {"key", pull.key.text()}, {"received_bytes", pull.received_bytes}, {"total_bytes", pull.total_bytes}});
  }
  return list;
}

}  // namespace

Json status_json(EntryStore& store, RemoteSet& remotes, Fetcher& fetcher, Sessions& sessions) {
  return Json::Object{{"pid", ::getpid()},
                      {"store", store_json(store.stats())},
                      {"remotes", remotes.status_json()},
                      {"queue", queue_json(store.push_queue())},
                      {"pulls", pulls_json(fetcher.under_way())},
                      {"sessions", sessions.open()},
                      {"totals", to_json(sessions.totals())}};
}

Result<Json> why_json(EntryStore& store, const Key& key) {
  auto history = store.access_log().history(key, kMostHistory);
  if (!history) return std::move(history).error();
  Json::Array records;
  for (const auto& record : *history) records.push_back(record_json(record));
  Json answer = Json::Object{{"key", key.text()}, {"history", std::move(records)}};
  auto entry = store.reader().find(key);
  answer["state"] = entry ? "here" : "not here";
  if (!entry) return answer;
  answer["entry"] = Json::Object{{"id", entry->id},
                                 {"bytes", entry->bytes},
                                 {"files", entry->files},
                                 {"origin", entry->origin},
                                 {"created_ms", entry->created_ns / 1'000'000},
                                 {"last_used_ms", entry->last_used_ns / 1'000'000},
                                 {"pinned", entry->pinned}};
  return answer;
}

Result<Json> activity_json(AccessLog& log, std::optional<uint64_t> after) {
  auto last = log.last_number();
  if (!last) return std::move(last).error();
  // A log that was made anew counts from the beginning.
  if (!after || *after > *last) return Json(Json::Object{{"next", *last}, {"records", Json::Array{}}});
  auto records = log.after(*after, kMostActivity);
  if (!records) return std::move(records).error();
  Json::Array list;
  for (const auto& record : *records) {
    auto json = record_json(record);
    json["key"] = record.key.text();
    list.push_back(std::move(json));
  }
  return Json(Json::Object{{"next", records->empty() ? *after : records->back().number}, {"records", std::move(list)}});
}

Json verify_json(const VerifyReport& report) {
  Json::Array damaged;
  for (const auto& line : report.damaged) damaged.push_back(line);
  Json::Array dropped;
  for (const auto& key : report.dropped_entries) dropped.push_back(key.text());
  return Json::Object{{"entries", report.entries},
                      {"blobs", report.blobs},
                      {"bytes", report.bytes},
                      {"damaged", std::move(damaged)},
                      {"dropped", std::move(dropped)}};
}

}  // namespace hitfs
