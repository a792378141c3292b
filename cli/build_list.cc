#include "cli/build_list.h"

#include <utility>

#include "cli/nx/nx_run.h"
#include "cli/repository.h"
#include "store/key.h"

namespace hitfs {

namespace {

constexpr Milliseconds kPublishLimit{5'000};  // the daemon only writes it down

const std::string kNoList = "no run list, so nobody can prewarm from this build: ";

// On a laptop a tree with changes is no news.
void note_in_ci(const Context& context, const std::string& text) {
  if (context.config.ci) context.output.note(text);
}

}  // namespace

BuiltCommit built_commit(const Context& context, const GitRepository& repository) {
  auto commit = git_commit(repository, "HEAD");
  if (!commit) return {"", commit.error().message};
  auto clean = context.config.run_list == RunListMode::always ? Result<bool>(true) : git_is_clean(repository);
  if (!clean) return {"", clean.error().message};
  if (!*clean) return {"", "the work tree has changes (--list-dirty publishes it all the same)"};
  return {*std::move(commit), ""};
}

Json publish_list(const Context& context, DaemonClient& daemon, BuildList list) {
  if (list.session.empty() || context.config.run_list == RunListMode::off) return Json();
  if (list.built.commit.empty()) {
    note_in_ci(context, kNoList + list.built.why_not);
    return Json();
  }
  auto now = git_commit(list.repository, "HEAD");
  if (!now || *now != list.built.commit) {
    note_in_ci(context, kNoList + (now ? "HEAD moved during the build" : now.error().message));
    return Json();
  }
  Json body = Json::Object{{"session", list.session},
                           {"commit", list.built.commit},
                           {"complete", list.complete},
                           {"tasks", std::move(list.tasks)}};
  auto published = daemon.call("POST", "/v1/lists", body, Deadline::after(kPublishLimit));
  if (!published) {
    context.output.note(kNoList + published.error().message);
    return Json();
  }
  (*published)["commit"] = list.built.commit;
  return *std::move(published);
}

BegunBuild begin_build(const Context& context) {
  std::error_code nowhere;
  BegunBuild build{
      std::filesystem::current_path(nowhere), std::time(nullptr), {"", "hitfs start was told to make none"}};
  if (!nowhere && context.config.run_list != RunListMode::off) {
    build.built = built_commit(context, git_repository(context));
  }
  return build;
}

Json to_json(const BegunBuild& build) {
  return Json::Object{{"folder", percent_encode(build.folder.native())},
                      {"began", static_cast<int64_t>(build.began)},
                      {"commit", build.built.commit},
                      {"why_not", build.built.why_not}};
}

BegunBuild begun_build_from(const Json& json) {
  auto folder = percent_decode(json["folder"].text_or(""));
  return {folder ? *folder : "",
          static_cast<std::time_t>(json["began"].integer_or(0)),
          {json["commit"].text_or(""), json["why_not"].text_or("")}};
}

Json publish_begun(const Context& context, DaemonClient& daemon, const BegunBuild& build, const std::string& session,
                   bool complete) {
  if (build.folder.empty()) return Json();
  auto repository = git_repository(context);
  repository.folder = build.folder;
  auto tasks = tasks_json(nx_tasks(build.folder, context.environment, build.began));
  return publish_list(context, daemon, {session, build.built, std::move(repository), complete, std::move(tasks)});
}

Json::Array tasks_json(const std::vector<NxTask>& tasks) {
  Json::Array all;
  for (const auto& task : tasks) all.push_back(Json::Object{{"key", task.key}, {"task", task.task}});
  return all;
}

}  // namespace hitfs
