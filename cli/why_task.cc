#include "cli/why_task.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "cli/exit_codes.h"
#include "cli/key_story.h"
#include "cli/nx/nx_run.h"
#include "cli/prewarm.h"
#include "cli/repository.h"

namespace hitfs {

namespace {

constexpr Milliseconds kSearchLimit{40'000};

// The key that the task had in the last run of nx here; "" when no run.json names it.
std::string key_here(const Context& context, const std::string& task) {
  std::error_code ignored;
  for (const auto& one : nx_tasks(std::filesystem::current_path(ignored), context.environment, 0)) {
    if (one.task == task) return one.key;
  }
  return "";
}

Result<Json> search(const Context& context, Lease& lease, const std::string& task, const std::string& key) {
  auto history = git_first_parents(git_repository(context), "HEAD", kMostPrewarmCommits);
  if (!history) return in_context("no run list can be looked for", std::move(history).error());
  Json body = Json::Object{
      {"commits", Json::Array(history->commits.begin(), history->commits.end())}, {"task", task}, {"key", key}};
  auto answer = lease.daemon().call("POST", "/v1/lists/search", body, Deadline::after(kSearchLimit));
  if (answer) (*answer)["shallow"] = history->cut;
  return answer;
}

std::string keys_of(const Json& built) {
  std::string all;
  for (const auto& one : built["keys"].items()) all += (all.empty() ? "" : ", ") + one["key"].text_or("");
  return all;
}

bool names(const Json& built, const std::string& key) {
  const auto& keys = built["keys"].items();
  return std::any_of(keys.begin(), keys.end(), [&](const Json& one) { return one["key"].text_or("") == key; });
}

// One word for programs: how the task here and the builds of others fit together. The last of the builds explains most.
std::string verdict_of(const Json& answer, const std::string& key) {
  const auto& built = answer["built"].items();
  if (built.empty()) return "never";
  if (key.empty()) return "listed";
  return names(built.back(), key) ? "same" : "other";
}

std::string never_text(const Json& answer) {
  auto searched = answer["searched"].integer_or(0);
  auto lists = answer["lists"].integer_or(0);
  if (lists > 0) return fmt::format("none of the {} run lists of the last {} commits has it", lists, searched);
  return fmt::format("none of the last {} commits has a run list", searched);
}

void tell_build(const std::string& task, const std::string& key, const Json& built, const Output& output) {
  auto line = fmt::format("{}: commit {} built it ", task, commit_place(built, "HEAD"));
  if (key.empty()) return output.line(line + "as " + keys_of(built));
  if (names(built, key)) return output.line(line + "under the same hash");
  output.line(line + "under another hash, " + keys_of(built) + ": its inputs differ");
}

void tell(const std::string& task, const std::string& key, const Json& answer, const Output& output) {
  const auto& built = answer["built"].items();
  for (const auto& one : built) tell_build(task, key, one, output);
  if (built.empty()) output.line(task + ": " + never_text(answer));
  if (key.empty()) output.line("the last run of nx here had no such task, so its hash here is not known");
  if (answer["shallow"].bool_or(false)) output.note("this is a shallow clone: older commits were not looked at");
  if (auto trouble = answer["trouble"].text_or(""); !trouble.empty()) {
    output.note("not every run list could be looked at: " + trouble);
  }
}

// The key whose story is told: the one here, else the one that others had.
std::string key_to_tell(const Json& answer, const std::string& key) {
  const auto& built = answer["built"].items();
  if (!key.empty() || built.empty()) return key;
  return built.front()["keys"].items().front()["key"].text_or("");
}

}  // namespace

bool is_task_name(const std::string& text) {
  if (text.empty() || text.front() == '/' || text.front() == '.') return false;
  auto colon = text.find(':');
  return colon != std::string::npos && colon > 0 && text.find('/', colon) == std::string::npos;
}

int why_task(const Context& context, Lease& lease, const std::string& task) {
  auto key = key_here(context, task);
  auto answer = search(context, lease, task, key);
  if (!answer && key.empty()) {
    context.output.fail(answer.error());
    return kAnswerIsNo;
  }
  if (!answer) context.output.note(answer.error().message);
  Json said = answer ? *answer : Json(Json::Object{});
  if (answer) tell(task, key, said, context.output);
  auto told = key_to_tell(said, key);
  Json story;
  if (!told.empty()) {
    if (auto answer_of_key = key_story(lease.daemon(), told)) story = *std::move(answer_of_key);
    tell_story(told, story, context.output);
  }
  said["verdict"] = answer ? verdict_of(*answer, key) : "unknown";
  said["task"] = task;
  said["key"] = key;
  said["entry"] = std::move(story);
  context.output.value(said);
  return kDone;
}

}  // namespace hitfs
