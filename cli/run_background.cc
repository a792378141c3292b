#include "cli/run_background.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "cli/prewarm.h"
#include "cli/repository.h"

namespace hitfs {

namespace {

// git may take its time while the command runs; after that nobody waits long for it.
constexpr Milliseconds kGitLimit{30'000};
constexpr Milliseconds kGitAfterwards{2'000};

std::map<std::string, std::string> as_map(const std::vector<std::string>& environment) {
  std::map<std::string, std::string> variables;
  for (const auto& variable : environment) {
    auto equals = variable.find('=');
    if (equals != std::string::npos) variables[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  return variables;
}

std::filesystem::path working_folder() {
  std::error_code ignored;
  return std::filesystem::current_path(ignored);
}

}  // namespace

RunBackground::RunBackground(const Context& context, DaemonClient& daemon, const std::vector<std::string>& environment)
    : context_(context), daemon_(daemon), thread_([this](const std::stop_token& stop) { work(stop); }) {
  if (context_.config.run_list != RunListMode::off) nx_runs_.emplace(working_folder(), as_map(environment));
}

RunBackground::~RunBackground() { thread_.request_stop(); }

void RunBackground::work(const std::stop_token& stop) {
  if (!context_.config.prewarm_base.empty()) prewarm(stop);
  if (context_.config.run_list != RunListMode::off) look_at_work_tree(stop);
  state_.lock()->done = true;
  state_.notify_all();
}

GitRepository RunBackground::repository(const std::stop_token& stop) const {
  auto repository = git_repository(context_);
  repository.limit = kGitLimit;
  repository.stop = stop;
  return repository;
}

void RunBackground::prewarm(const std::stop_token& stop) {
  auto history = git_first_parents(repository(stop), context_.config.prewarm_base, kMostPrewarmCommits);
  if (!history) {
    state_.lock()->prewarm_note = "no prewarm: " + history.error().message;
    return;
  }
  PrewarmRequest request{history->commits, {}, context_.config.prewarm_max_bytes, context_.config.prewarm_max_time};
  auto id = begin_prewarm(daemon_, request);
  if (id && stop.stop_requested()) {
    // The run ended while it was being asked for.
    [[maybe_unused]] auto ended = end_prewarm(daemon_, *id);
    return;
  }
  auto state = state_.lock();
  if (!id) state->prewarm_note = "no prewarm: " + id.error().message;
  if (id) state->prewarm = *id;
  if (id && history->cut) {
    state->prewarm_note =
        fmt::format("prewarm: this is a shallow clone, only {} of the last {} commits can be looked at",
                    history->commits.size(), kMostPrewarmCommits);
  }
}

void RunBackground::look_at_work_tree(const std::stop_token& stop) {
  auto built = built_commit(context_, repository(stop));
  state_.lock()->built = std::move(built);
}

void RunBackground::collect_tasks() {
  if (nx_runs_) tasks_ = tasks_json(nx_runs_->finish());
}

Json RunBackground::finish_prewarm(const State& state) {
  if (!state.prewarm_note.empty()) context_.output.note(state.prewarm_note);
  if (state.prewarm.empty()) return Json();
  auto progress = end_prewarm(daemon_, state.prewarm);
  if (!progress) {
    context_.output.note("how far the prewarm came is not known, the daemon has ended meanwhile: " +
                         progress.error().message);
    return Json();
  }
  context_.output.note(prewarm_line(*progress, context_.config.prewarm_base));
  return *std::move(progress);
}

Json RunBackground::publish(const State& state, const std::string& session, const CommandEnd& end) {
  if (end.told_to_end) return Json();
  BuildList list{session, state.built, repository({}), end.exit_code == 0 && end.signal == 0, std::move(tasks_)};
  if (!state.done && list.built.commit.empty()) list.built.why_not = "git was not done in time";
  list.repository.limit = kGitAfterwards;
  return publish_list(context_, daemon_, std::move(list));
}

Json RunBackground::finish(const std::string& session, const CommandEnd& end, Milliseconds limit) {
  auto wait = end.told_to_end ? Milliseconds(0) : std::min(limit, kGitAfterwards);
  State state;
  {
    auto now = state_.lock();
    now.wait_until(std::stop_token(), system_clock().now() + wait, [](const State& it) { return it.done; });
    state = *now;
  }
  thread_.request_stop();
  Json json;
  if (auto prewarm = finish_prewarm(state); !prewarm.is_null()) json["prewarm"] = std::move(prewarm);
  if (auto list = publish(state, session, end); !list.is_null()) json["list"] = std::move(list);
  return json;
}

}  // namespace hitfs
