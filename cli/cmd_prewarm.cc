#include <fmt/core.h>

#include <filesystem>
#include <iostream>
#include <thread>
#include <utility>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/foreground.h"
#include "cli/lease.h"
#include "cli/prewarm.h"
#include "cli/prewarm_job.h"
#include "cli/repository.h"
#include "cli/units.h"
#include "store/key.h"

namespace hitfs {

namespace {

constexpr Milliseconds kRedraw{100};
constexpr size_t kMostKeys = 100'000;

// Keys as people write them; "-" stands for standard input, one per line.
Result<std::vector<std::string>> keys_asked_for(const std::vector<std::string>& words) {
  std::vector<std::string> keys;
  auto add = [&](const std::string& text) -> Status {
    auto key = Key::parse(text, "flat");
    if (!key) return in_context(text, std::move(key).error());
    if (keys.size() >= kMostKeys) return Error{Code::invalid_argument, "these are more than 100,000 keys"};
    keys.push_back(key->text());
    return Ok{};
  };
  for (const auto& word : words) {
    if (word != "-") {
      if (auto added = add(word); !added) return std::move(added).error();
      continue;
    }
    for (std::string line; std::getline(std::cin, line);) {
      if (line.empty()) continue;
      if (auto added = add(line); !added) return std::move(added).error();
    }
  }
  return keys;
}

// The revision that is looked at; "" when only keys are asked for.
std::string base_of(const Context& context) {
  const auto& arguments = context.arguments;
  if (!arguments.base.empty()) return arguments.base;
  if (!arguments.words.empty()) return "";
  return context.config.prewarm_base.empty() ? "HEAD" : context.config.prewarm_base;
}

Result<PrewarmRequest> request_of(const Context& context, const std::string& base) {
  PrewarmRequest request;
  request.max_bytes = context.config.prewarm_max_bytes;
  request.max_time = context.config.prewarm_max_time;
  auto keys = keys_asked_for(context.arguments.words);
  if (!keys) return std::move(keys).error();
  request.keys = *std::move(keys);
  if (base.empty()) return request;
  auto history = git_first_parents(git_repository(context), base, kMostPrewarmCommits);
  if (!history) return in_context("no run list can be looked for", std::move(history).error());
  if (history->cut) {
    context.output.note(
        fmt::format("this is a shallow clone: only {} of the last {} commits can be looked at "
                    "(git fetch --depth={}, or fetch-depth of actions/checkout)",
                    history->commits.size(), kMostPrewarmCommits, kMostPrewarmCommits));
  }
  request.commits = std::move(history->commits);
  return request;
}

std::string figures(const Json& progress) {
  auto wanted = static_cast<uint64_t>(progress["wanted"].integer_or(0));
  if (wanted == 0) return fmt::format("looking for a run list, {} commits so far", progress["searched"].integer_or(0));
  return fmt::format("{} of {}, {}", progress["pulled"].integer_or(0) + progress["here"].integer_or(0), wanted,
                     format_size(static_cast<uint64_t>(progress["bytes"].integer_or(0))));
}

void draw(Progress& bar, const Json& now) {
  auto ended = now["pulled"].integer_or(0) + now["here"].integer_or(0) + now["missing"].integer_or(0) +
               now["failed"].integer_or(0);
  bar.update(static_cast<uint64_t>(ended), static_cast<uint64_t>(now["wanted"].integer_or(0)), figures(now));
}

// A signal that asks us to end; 0 for none.
int asked_to_end(ForegroundSignals& signals) {
  while (int number = signals.next(false)) {
    if (number != SIGCHLD) return number;
  }
  return 0;
}

struct Ended {
  Json progress;
  int signal = 0;  // somebody asked us to end
};

// Asked again and again: the daemon works in the background, and its own limit of time ends it.
Result<Ended> wait_until_done(PrewarmJob& job, const Output& output, ForegroundSignals& signals) {
  Progress bar(output, "prewarming");
  while (true) {
    auto progress = job.progress();
    if (!progress) return std::move(progress).error();
    if (std::as_const(*progress)["done"].bool_or(false)) return Ended{*std::move(progress)};
    if (int signal = asked_to_end(signals)) {
      auto last = job.end();
      return Ended{last ? *std::move(last) : *std::move(progress), signal};
    }
    draw(bar, *progress);
    std::this_thread::sleep_for(kRedraw);
  }
}

}  // namespace

int cmd_prewarm(const Context& context) {
  auto base = base_of(context);
  auto request = request_of(context, base);
  if (!request) {
    context.output.fail(request.error());
    return request.error().code == Code::invalid_argument ? kUsage : kAnswerIsNo;
  }
  auto begun = system_clock().now();
  auto lease = Lease::take(context, false);
  if (!lease) return context.output.fail(lease.error());
  ForegroundSignals signals;  // before the client's threads
  PrewarmJob job(context, *std::move(lease), *std::move(request));
  auto ended = wait_until_done(job, context.output, signals);
  if (!ended) return context.output.fail(in_context("the prewarm ended early", std::move(ended).error()));
  auto took = std::chrono::duration_cast<Milliseconds>(system_clock().now() - begun);
  ended->progress["took_ms"] = took.count();
  context.output.value(ended->progress);
  context.output.line(prewarm_line(ended->progress, base) + " · " + format_seconds(took));
  return end_alike({.exit_code = ended->signal == 0 ? kDone : 128 + ended->signal, .signal = ended->signal});
}

}  // namespace hitfs
