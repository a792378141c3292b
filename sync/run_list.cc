#include "sync/run_list.h"

#include <algorithm>
#include <map>

#include "store/archive/gzip.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/text_stream.h"
#include "sync/memory_transfer.h"

namespace hitfs {

namespace {

constexpr int64_t kVersion = 1;

Result<std::string> compress(const std::string& text) {
  TextSink packed;
  GzipWriter gzip(packed, GuardLimits{});
  if (auto written = gzip.write(io::as_bytes(text)); !written) return std::move(written).error();
  if (auto finished = gzip.finish(); !finished) return std::move(finished).error();
  return std::move(packed.text);
}

Result<std::string> expand(std::string_view bytes) {
  const Guard guard(GuardLimits{.artifact_bytes = RunList::kMostBytes, .unpacked_bytes = RunList::kMostUnpacked},
                    ArchiveReaders::hitfs_only);
  MemorySource source(bytes);
  GzipReader gzip(source, guard);
  return read_text(gzip, RunList::kMostUnpacked);
}

Json to_json(const RunList::Item& item) {
  Json json = Json::Object{{"key", item.key.text()}, {"how", to_text(item.how)}};
  if (!item.task.empty()) json["task"] = item.task;
  if (item.bytes > 0) json["bytes"] = item.bytes;
  return json;
}

Result<RunList::Item> item_of(const Json& json) {
  auto key = Key::parse(json["key"].text_or(""), "");
  if (!key) return in_context("key", std::move(key).error());
  RunList::Item item{*std::move(key)};
  item.task = json["task"].text_or("");
  if (item.task.size() > RunList::kLongestTask) return Error{Code::corrupt, "the name of a task is too long"};
  item.how = json["how"].text_or("") == "stored" ? RunList::How::stored : RunList::How::hit;
  item.bytes = static_cast<uint64_t>(std::max<int64_t>(json["bytes"].integer_or(0), 0));
  return item;
}

Result<RunList> list_of(const Json& json) {
  auto version = json["hitfs-list"].integer_or(0);
  if (version > kVersion) return Error{Code::invalid_argument, "a list of a newer hitfs"};
  if (version != kVersion) return Error{Code::corrupt, "these bytes are no run list"};
  RunList list;
  list.commit = json["commit"].text_or("");
  list.complete = json["complete"].bool_or(false);
  if (!is_commit_name(list.commit)) return Error{Code::corrupt, "the list names no commit"};
  const auto& items = json["keys"].items();
  if (items.size() > RunList::kMostItems) return Error{Code::corrupt, "the list has too many keys"};
  for (const auto& one : items) {
    auto item = item_of(one);
    if (!item) return Error{Code::corrupt, item.error().message};
    list.items.push_back(*std::move(item));
  }
  return list;
}

}  // namespace

bool is_commit_name(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Key list_key(const std::string& commit, uint64_t part) {
  return Key{"", std::string(kListSpace), commit + "-" + std::to_string(part)};
}

std::string_view to_text(RunList::How how) { return how == RunList::How::stored ? "stored" : "hit"; }

Result<std::string> RunList::encode() const {
  if (items.size() > kMostItems) return Error{Code::no_space, "a list has at most 50,000 keys"};
  Json::Array keys;
  for (const auto& item : items) keys.push_back(to_json(item));
  Json json =
      Json::Object{{"hitfs-list", kVersion}, {"commit", commit}, {"complete", complete}, {"keys", std::move(keys)}};
  auto text = json.dump() + "\n";
  if (text.size() <= kPlainBytes) return text;
  if (text.size() > kMostUnpacked) return Error{Code::no_space, "the list is too large"};
  auto packed = compress(text);
  if (packed && packed->size() > kMostBytes) return Error{Code::no_space, "the list is too large"};
  return packed;
}

Result<RunList> RunList::parse(std::string_view bytes) {
  if (bytes.size() > kMostBytes) return Error{Code::corrupt, "the list is too large"};
  std::string text(bytes);
  if (bytes.starts_with("\x1f\x8b")) {
    auto expanded = expand(bytes);
    if (!expanded) return std::move(expanded).error();
    text = *std::move(expanded);
  }
  auto json = Json::parse(text);
  if (!json) return Error{Code::corrupt, json.error().message};
  return list_of(*json);
}

bool RunList::covers(const RunList& other) const {
  if (other.complete && !complete) return false;
  std::map<Key, std::string_view> tasks;
  for (const auto& item : items) tasks[item.key] = item.task;
  return std::all_of(other.items.begin(), other.items.end(), [&](const Item& item) {
    auto found = tasks.find(item.key);
    return found != tasks.end() && (item.task.empty() || item.task == found->second);
  });
}

void RunList::merge(const RunList& other) {
  complete = complete || other.complete;
  std::map<Key, size_t> places;
  for (size_t i = 0; i < items.size(); ++i) places[items[i].key] = i;
  for (const auto& item : other.items) {
    auto [place, is_new] = places.try_emplace(item.key, items.size());
    if (is_new && items.size() < kMostItems) items.push_back(item);
    if (is_new || place->second >= items.size()) continue;
    auto& mine = items[place->second];
    if (mine.task.empty()) mine.task = item.task;
    if (mine.bytes == 0) mine.bytes = item.bytes;
  }
}

}  // namespace hitfs
