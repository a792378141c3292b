#include "sync/remote_set.h"

#include "sync/options_json.h"
#include "sync/remotes/remote_factory.h"

namespace hitfs {

namespace {

Json status_of(ConfiguredRemote& remote) {
  auto breaker = remote.remote->breaker().status();
  return Json::Object{{"name", remote.options.name},
                      {"url", remote.remote->describe()},
                      {"mode", to_string(remote.options.mode)},
                      {"breaker", to_string(breaker.state)},
                      {"breaker_why", breaker.why},
                      {"breaker_since_ms", breaker.since_ms},
                      {"breaker_opened", breaker.opened},
                      {"probe_in_ms", breaker.probe_in.count()},
                      {"refused_calls", breaker.refused}};
}

}  // namespace

Result<std::unique_ptr<RemoteSet>> RemoteSet::open(const DaemonOptions& options,
                                                   std::function<void()> breaker_changed) {
  auto environment = RemoteEnvironment::of_process();
  std::vector<std::unique_ptr<ConfiguredRemote>> remotes;
  for (const auto& remote_options : options.remotes) {
    if (remote_options.mode == RemoteMode::off) continue;
    GuardedRemote::Options guard;
    guard.patience = options.patience;
    guard.changed = [breaker_changed](BreakerState) { breaker_changed(); };
    auto opened = open_guarded_remote(remote_options, guard, environment);
    if (!opened) return in_context("remote " + remote_options.name, std::move(opened).error());
    auto remote = std::make_unique<ConfiguredRemote>();
    remote->options = remote_options;
    remote->generation = options.generation;
    remote->remote = *std::move(opened);
    remotes.push_back(std::move(remote));
  }
  return std::make_unique<RemoteSet>(std::move(remotes));
}

RemoteSet::RemoteSet(std::vector<std::unique_ptr<ConfiguredRemote>> remotes) : all_(std::move(remotes)) {
  for (const auto& remote : all_) {
    if (remote->reads()) {
      readable_.push_back(remote.get());
      names_ += (names_.empty() ? "" : ", ") + remote->options.name;
    }
    if (remote->writes()) {
      writable_.push_back(remote.get());
      push_targets_.push_back(remote->options.name);
    }
  }
}

Json RemoteSet::status_json() const {
  Json::Array remotes;
  for (const auto& remote : all_) remotes.push_back(status_of(*remote));
  return remotes;
}

}  // namespace hitfs
