#include "cli/supervisor/start.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>

#include "cli/process_config.h"
#include "store/base/file_lock.h"
#include "store/base/io.h"
#include "store/base/subprocess.h"

namespace hitfs {

namespace {

// Between two looks at a lock that another process lets go of soon: there is no event for it.
constexpr Milliseconds kLook{10};

Result<UniqueFd> open_log(const StorePaths& store) {
  auto path = store.root / "supervisor.log";
  UniqueFd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log) return system_error("open " + path.string(), errno);
  return log;
}

// The starter's line, or an Error when it ended without one.
Result<std::string> read_line(int descriptor, const Deadline& until) {
  std::string text;
  char piece[512];
  while (text.find('\n') == std::string::npos) {
    pollfd polled{descriptor, POLLIN, 0};
    int ready = ::poll(&polled, 1, static_cast<int>(until.left().count()));
    if (ready < 0 && errno != EINTR) return system_error("poll", errno);
    if (ready == 0) return Error{Code::unavailable, "the supervisor was not ready in time"};
    auto got = ready > 0 ? ::read(descriptor, piece, sizeof(piece)) : 0;
    if (ready > 0 && got == 0) return Error{Code::internal, "the supervisor ended while it started"};
    if (got > 0) text.append(piece, static_cast<size_t>(got));
  }
  return text.substr(0, text.find('\n'));
}

Status launch(const StorePaths& store, const SupervisorCommand& command, const Deadline& until) {
  auto log = open_log(store);
  if (!log) return std::move(log).error();
  auto config = write_process_config(command.config);
  if (!config) return std::move(config).error();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return system_error("pipe", errno);
  UniqueFd read_end(ends[0]), write_end(ends[1]);

  SpawnOptions options;
  options.program = command.program;
  options.arguments = command.arguments;
  for (const char* argument : {"--config-fd", "3", "--ready-fd", "4"}) options.arguments.push_back(argument);
  options.environment = command.environment;
  options.descriptors = {config->get(), write_end.get()};
  options.standard[0] = options.standard[1] = -1;
  options.standard[2] = log->get();
  options.detach = true;
  options.working_directory = "/";
  if (auto started = spawn(options); !started) return std::move(started).error();
  write_end.reset();

  auto line = read_line(read_end.get(), until);
  if (!line) return in_context("see " + (store.root / "supervisor.log").string(), std::move(line).error());
  auto json = Json::parse(*line);
  if (!json) return Error{Code::internal, "the supervisor sent what is no JSON"};
  const Json& said = *json;
  if (said["ok"].bool_or(false)) return Ok{};
  auto code = said["code"].text_or("") == to_string(Code::unavailable) ? Code::unavailable : Code::invalid_argument;
  return Error{code, said["error"].text_or("the supervisor did not start")};
}

}  // namespace

Status make_store_folder(const StorePaths& store) {
  auto made = io::make_directories(store.root, 0700, "store");
  if (!made) return in_context("store " + store.root.string(), std::move(made).error());
  struct stat info {};
  if (::stat(store.root.c_str(), &info) < 0) return system_error("store " + store.root.string(), errno);
  if (info.st_uid != ::geteuid()) {
    return Error{Code::permission_denied, "store " + store.root.string() + " belongs to another user (uid " +
                                              std::to_string(info.st_uid) + "); use --store to name one of your own"};
  }
  return Ok{};
}

Result<ControlClient> reach_supervisor(const StorePaths& store,
                                       const std::function<Result<SupervisorCommand>()>& command,
                                       const Deadline& until) {
  if (auto made = make_store_folder(store); !made) return std::move(made).error();
  while (true) {
    auto client = ControlClient::connect(store);
    if (client || client.error().code != Code::unavailable) return client;
    // A lock without a socket: another one starts or ends just now.
    if (is_locked(store.supervisor_lock())) {
      if (until.passed())
        return Error{Code::unavailable, "another hitfs holds " + store.root.string() + " and does not answer"};
      std::this_thread::sleep_for(kLook);
      continue;
    }
    auto made = command();
    if (!made) return std::move(made).error();
    if (auto launched = launch(store, *made, until); !launched) {
      // Somebody else won in the meantime: join that one.
      if (!is_locked(store.supervisor_lock()) || until.passed()) return std::move(launched).error();
    }
  }
}

Status wait_until_free(const StorePaths& store, const Deadline& until) {
  while (is_locked(store.supervisor_lock())) {
    if (until.passed()) return Error{Code::unavailable, "hitfs still holds " + store.root.string()};
    std::this_thread::sleep_for(kLook);
  }
  return Ok{};
}

namespace {

void report(int ready_fd, const Json& message) {
  if (ready_fd < 0) return;
  UniqueFd ready(ready_fd);
  // A starter that is gone wants to know nothing.
  [[maybe_unused]] auto written = io::write_all(ready.get(), io::as_bytes(message.dump() + "\n"), "ready");
}

}  // namespace

void report_ready(int ready_fd) {
  Json message;
  message["ok"] = true;
  report(ready_fd, message);
}

void report_failure(int ready_fd, const Error& error) {
  Json message;
  message["ok"] = false;
  message["code"] = to_string(error.code);
  message["error"] = error.message;
  report(ready_fd, message);
}

}  // namespace hitfs
