#include "tests/support/hitfs_program.h"

#include <signal.h>

#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace hitfs::testing {
namespace {

constexpr Milliseconds kStartLimit{20000};
constexpr Milliseconds kStopLimit{120000};

std::string binary() {
  const char* named = std::getenv("HITFS_TEST_BINARY");
  return named != nullptr && *named != '\0' ? named : HITFS_BINARY;
}

std::string without_newline(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Command hitfs(std::vector<std::string> arguments, const std::filesystem::path& home) {
  Command command;
  command.arguments = {binary()};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.environment = {
      {"HOME", home.string()}, {"XDG_CONFIG_HOME", (home / "config").string()}, {"XDG_CACHE_HOME", std::nullopt}};
  // Not in the work tree of hitfs itself, whose commit would be taken for the one that is being built.
  if (std::filesystem::is_directory(home)) command.directory = home;
  return command;
}

Command below_hitfs_run(const std::filesystem::path& store, Command command) {
  Command wrapped = hitfs({"run", "--store", store, "--"}, store.parent_path());
  wrapped.arguments.insert(wrapped.arguments.end(), command.arguments.begin(), command.arguments.end());
  wrapped.environment.insert(command.environment.begin(), command.environment.end());
  wrapped.directory = command.directory;
  return wrapped;
}

Json last_json(const std::string& output) {
  Json last;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (auto json = Json::parse(line)) last = *std::move(json);
  }
  return last;
}

Outcome stop_hitfs(const std::filesystem::path& store, const std::string& flush) {
  return run(hitfs({"stop", "--store", store, "--flush", flush}, store.parent_path()), kStopLimit);
}

TeamServer::TeamServer(std::filesystem::path folder, const std::map<std::string, std::string>& environment)
    : folder_(std::move(folder)), port_(free_port()) {
  std::filesystem::create_directories(folder_);
  const std::string tokens = folder_ / "tokens.json";
  Command add = hitfs({"token", "add", "--tokens", tokens, "--name", "team", "--rights", "read,write"}, folder_);
  add.with_errors = false;  // advice for people
  const Outcome added = run(add, kStartLimit);
  token_ = without_newline(added.output);
  if (added.code != 0 || token_.empty()) throw std::runtime_error("hitfs token add: " + added.output);

  ReadySocket ready(folder_);
  Command serve = hitfs(
      {"serve", "--listen", "127.0.0.1:" + std::to_string(port_), "--tokens", tokens, "--store", folder_ / "store"},
      folder_);
  serve.environment["NOTIFY_SOCKET"] = ready.path();
  for (const auto& [name, value] : environment) serve.environment[name] = value;
  process_ = std::make_unique<Process>(serve);
  if (!ready.wait(*process_, kStartLimit)) throw std::runtime_error("hitfs serve: " + process_->output());
}

void TeamServer::kill() {
  process_->signal_group(SIGKILL);
  process_->wait(kStopLimit);
}

}  // namespace hitfs::testing
