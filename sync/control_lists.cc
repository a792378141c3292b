// The routes of run lists and prewarm.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "store/base/log.h"
#include "sync/control.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr Milliseconds kReportPatience{1'000};
constexpr Milliseconds kSearchLimit{30'000};
constexpr size_t kMostCommits = 1'000;

Result<std::vector<std::string>> commits_of(const Json& json) {
  std::vector<std::string> commits;
  for (const auto& item : json.items()) {
    commits.push_back(item.text_or(""));
    if (!is_commit_name(commits.back())) return Error{Code::invalid_argument, "commits: full names in hex"};
  }
  if (commits.size() > kMostCommits) return Error{Code::invalid_argument, "commits: at most 1,000"};
  return commits;
}

// The keys of a session, with the names that the caller knows for them; and what else the caller names, if it is here:
// a tool's own cache may have answered for it.
RunList list_of(const SessionKeys& keys, const Json& body, EntryStore& store) {
  RunList list{.commit = body["commit"].text_or(""), .complete = body["complete"].bool_or(false)};
  std::map<Key, size_t> places;
  auto add = [&](const Key& key, RunList::How how) -> RunList::Item* {
    auto [place, is_new] = places.try_emplace(key, list.items.size());
    if (!is_new) return &list.items[place->second];
    auto entry = store.reader().find(key);
    bool shared = entry && entry->exit_code == 0 && key.space != kListSpace;
    if (!shared || list.items.size() >= RunList::kMostItems) {
      places.erase(place);
      return nullptr;
    }
    return &list.items.emplace_back(RunList::Item{key, "", how, entry->bytes});
  };
  for (const auto& use : keys.uses) add(use.key, use.stored ? RunList::How::stored : RunList::How::hit);
  for (const auto& named : body["tasks"].items()) {
    auto key = Key::parse(named["key"].text_or(""), "");
    auto task = named["task"].text_or("");
    auto* item = key && task.size() <= RunList::kLongestTask ? add(*key, RunList::How::hit) : nullptr;
    if (item != nullptr) item->task = task;
  }
  return list;
}

// Under which keys the build of a commit had the task; null when it had no such task.
Json to_json(const RunLists::Search::Found& found, const std::string& task) {
  Json::Array keys;
  for (const auto& item : found.list.items) {
    if (item.task != task) continue;
    keys.push_back(Json::Object{{"key", item.key.text()}, {"how", to_text(item.how)}});
  }
  if (keys.empty()) return Json();
  return Json::Object{{"commit", found.list.commit}, {"distance", found.index}, {"keys", std::move(keys)}};
}

// The nearest build of a task is what is asked for. That the newest commit has it under `key` explains nothing when the
// build that asks has just put it there: then one more is looked for.
bool explains(const RunList& list, const std::string& newest, const std::string& task, const std::string& key) {
  return std::any_of(list.items.begin(), list.items.end(), [&](const RunList::Item& item) {
    return item.task == task && (list.commit != newest || item.key.text() != key);
  });
}

}  // namespace

void Control::publish_list(const HttpRequest&, const Json& body, HttpResponder responder) {
  auto shared = std::make_shared<HttpResponder>(std::move(responder));
  if (!is_commit_name(body["commit"].text_or(""))) {
    return shared->send(error_reply({Code::invalid_argument, "commit: a full name in hex"}));
  }
  // The fronts report in batches: what they still hold belongs to this session.
  parts_.events.collect_reports(kReportPatience, [this, body, shared] {
    later(commits_, std::move(*shared), [this, body]() -> Result<Json> {
      auto keys = parts_.sessions.keys(body["session"].text_or(""));
      if (!keys) return Error{Code::not_found, "no such session"};
      auto list = list_of(*keys, body, parts_.store);
      if (keys->cut) kLog.warn("run list commit={} is cut at {} keys", list.commit, RunList::kMostItems);
      if (list.items.empty()) return Json(Json::Object{{"keys", 0}, {"part", ""}});
      auto published = parts_.lists.publish(list);
      if (!published) return std::move(published).error();
      return Json(Json::Object{{"keys", published->keys}, {"part", published->part}});
    });
  });
}

void Control::search_lists(const HttpRequest&, const Json& body, HttpResponder responder) {
  auto commits = commits_of(body["commits"]);
  if (!commits) return responder.send(error_reply(commits.error()));
  later(long_tasks_, std::move(responder), [this, body, commits = *std::move(commits)]() -> Result<Json> {
    auto task = body["task"].text_or(""), key = body["key"].text_or("");
    auto enough = [&](const RunList& list) { return explains(list, commits.front(), task, key); };
    auto search = parts_.lists.search(commits, enough, Deadline::after(kSearchLimit), stopping_.get_token());
    Json::Array built;
    for (const auto& found : search.found) {
      if (auto json = to_json(found, task); !json.is_null()) built.push_back(std::move(json));
    }
    return Json(Json::Object{{"searched", search.searched},
                             {"lists", search.found.size()},
                             {"trouble", search.trouble},
                             {"built", std::move(built)}});
  });
}

void Control::begin_prewarm(const HttpRequest&, const Json& body, HttpResponder responder) {
  Prewarmer::Request request;
  auto commits = commits_of(body["commits"]);
  if (!commits) return responder.send(error_reply(commits.error()));
  request.commits = *std::move(commits);
  for (const auto& item : body["keys"].items()) {
    auto key = Key::parse(item.text_or(""), "");
    if (!key) return responder.send(error_reply(key.error()));
    request.keys.push_back(*std::move(key));
  }
  request.max_bytes = static_cast<uint64_t>(std::max<int64_t>(body["max_bytes"].integer_or(0), 0));
  request.max_time = Milliseconds(body["max_ms"].integer_or(0));
  auto begun = parts_.prewarmer.begin(std::move(request));
  if (!begun) return responder.send(error_reply(begun.error()));
  responder.send(json_reply(200, Json::Object{{"prewarm", *begun}}));
}

void Control::prewarm_progress(const HttpRequest& request, const Json&, HttpResponder responder) {
  auto progress = parts_.prewarmer.progress(request.path.substr(request.path.rfind('/') + 1));
  if (!progress) return responder.send(error_reply({Code::not_found, "no such prewarm"}));
  responder.send(json_reply(200, to_json(*progress)));
}

void Control::end_prewarm(const HttpRequest& request, const Json&, HttpResponder responder) {
  parts_.prewarmer.stop(request.path.substr(request.path.rfind('/') + 1));
  prewarm_progress(request, Json(), std::move(responder));
}

void Control::announced(const HttpRequest& request, const Json&, HttpResponder responder) {
  auto page = parts_.announcements.after(std::strtoull(query_value(request.query, "after").c_str(), nullptr, 10));
  Json::Array keys;
  for (const auto& key : page.keys) keys.emplace_back(key.text());
  responder.send(json_reply(200, Json::Object{{"next", page.next}, {"keys", std::move(keys)}}));
}

}  // namespace hitfs
