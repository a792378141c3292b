#include "sync/remote_set.h"

#include "sync/remotes/remote_factory.h"

namespace hitfs {

namespace {

std::string_view to_text(RemoteMode mode) {
  switch (mode) {
    case RemoteMode::off: return "off";
    case RemoteMode::read: return "read";
    case RemoteMode::write: return "write";
    case RemoteMode::readwrite: return "readwrite";
  }
  return "off";
}

Json status_of(ConfiguredRemote& remote) {
  auto breaker = remote.remote->breaker().status();
  return Json::Object{{"name", remote.options.name},          {"url", remote.remote->describe()},
                      {"mode", to_text(remote.options.mode)}, {"breaker", to_string(breaker.state)},
                      {"breaker_why", breaker.why},           {"breaker_since_ms", breaker.since_ms},
                      {"breaker_opened", breaker.opened},     {"probe_in_ms", breaker.probe_in.count()},
                      {"refused_calls", breaker.refused}};
}

}  // namespace

Result<std::unique_ptr<RemoteSet>> RemoteSet::open(const DaemonOptions& options,
                                                   std::function<void()> breaker_changed) {
  auto set = std::make_unique<RemoteSet>();
  auto environment = RemoteEnvironment::of_process();
  for (const auto& remote_options : options.remotes) {
    if (remote_options.mode == RemoteMode::off) continue;
    GuardedRemote::Options guard{.patience = options.patience};
    guard.changed = [breaker_changed](BreakerState) { breaker_changed(); };
    auto made = open_guarded_remote(remote_options, guard, environment);
    if (!made) return in_context("remote " + remote_options.name, std::move(made).error());
    auto remote = std::make_unique<ConfiguredRemote>();
    remote->options = remote_options;
    remote->generation = options.generation;
    remote->remote = *std::move(made);
    if (remote->reads()) {
      set->readable_.push_back(remote.get());
      set->names_ += (set->names_.empty() ? "" : ", ") + remote_options.name;
    }
    if (remote->writes()) {
      set->writable_.push_back(remote.get());
      set->push_targets_.push_back(remote_options.name);
    }
    set->all_.push_back(std::move(remote));
  }
  return set;
}

Json RemoteSet::status_json() const {
  Json::Array remotes;
  for (const auto& remote : all_) remotes.push_back(status_of(*remote));
  return remotes;
}

}  // namespace hitfs
