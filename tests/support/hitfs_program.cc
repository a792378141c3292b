#include "tests/support/hitfs_program.h"

#include <signal.h>

#include <cstdlib>
#include <stdexcept>

namespace hitfs::testing {
namespace {

constexpr Milliseconds kStartLimit{20000};
constexpr Milliseconds kStopLimit{60000};

std::string binary() {
  const char* named = std::getenv("HITFS_TEST_BINARY");
  return named != nullptr && *named != '\0' ? named : HITFS_BINARY;
}

// The last line that is not empty: `hitfs token add` prints the token on a line of its own.
std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of("\r\n ");
  if (end == std::string::npos) return {};
  const size_t before = text.find_last_of('\n', end);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  return text.substr(begin, end + 1 - begin);
}

}  // namespace

Command hitfs(std::vector<std::string> arguments, const std::filesystem::path& home) {
  Command command;
  command.arguments = {binary()};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.environment = {
      {"HOME", home.string()}, {"XDG_CONFIG_HOME", (home / "config").string()}, {"XDG_CACHE_HOME", std::nullopt}};
  return command;
}

Command below_hitfs_run(const std::filesystem::path& store, Command command) {
  Command wrapped = hitfs({"run", "--store", store, "--"}, store.parent_path());
  wrapped.arguments.insert(wrapped.arguments.end(), command.arguments.begin(), command.arguments.end());
  wrapped.environment.insert(command.environment.begin(), command.environment.end());
  wrapped.directory = command.directory;
  return wrapped;
}

Outcome stop_hitfs(const std::filesystem::path& store) {
  return run(hitfs({"stop", "--store", store}, store.parent_path()), kStopLimit);
}

TeamServer::TeamServer(std::filesystem::path folder) : folder_(std::move(folder)), port_(free_port()) {
  std::filesystem::create_directories(folder_);
  const std::string tokens = folder_ / "tokens.json";
  const Outcome added = run(
      hitfs({"token", "add", "--tokens", tokens, "--name", "team", "--rights", "read,write"}, folder_), kStartLimit);
  token_ = last_line(added.output);
  if (added.code != 0 || token_.empty()) throw std::runtime_error("hitfs token add: " + added.output);

  ReadySocket ready(folder_);
  Command serve = hitfs(
      {"serve", "--listen", "127.0.0.1:" + std::to_string(port_), "--tokens", tokens, "--store", folder_ / "store"},
      folder_);
  serve.environment["NOTIFY_SOCKET"] = ready.path();
  process_ = std::make_unique<Process>(serve);
  if (!ready.wait(*process_, kStartLimit)) throw std::runtime_error("hitfs serve: " + process_->output());
}

void TeamServer::kill() {
  process_->signal_group(SIGKILL);
  process_->wait(kStopLimit);
}

}  // namespace hitfs::testing
