// The processes of the supervisor's tests: stand-ins for daemon, listener and worker, and a supervisor of them.
//
//   fake_process child BEHAVIOUR...   with --config-fd and --ready-fd as hitfs gives them
//   fake_process supervisor           options as JSON in --config-fd, see supervisor_fixture.h
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/process_config.h"
#include "cli/supervisor/run_supervisor.h"
#include "store/base/io.h"
#include "store/base/socket.h"
#include "store/base/subprocess.h"

namespace {

using namespace hitfs;

void say_ready() {
  [[maybe_unused]] auto written = ::write(4, "r", 1);
  ::close(4);
}

void add_line(const std::string& path, const std::string& line) {
  std::ofstream(path, std::ios::app) << line << "\n" << std::flush;
}

// Answers each connection with its process id.
[[noreturn]] void answer_connections(int listening) {
  while (true) {
    UniqueFd connection(::accept(listening, nullptr, nullptr));
    auto text = std::to_string(::getpid());
    [[maybe_unused]] auto sent = ::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
}

int run_child(const std::vector<std::string>& behaviour) {
  auto config = read_process_config(3);
  if (!config) return 90;
  const std::string& what = behaviour.at(0);
  if (what == "refuse") {
    std::fprintf(stderr, "2026-01-01T00:00:00.000 1 error sync %s\n", behaviour.at(1).c_str());
    return 3;
  }
  if (what == "environment") {
    for (const auto& variable : environment_without({})) add_line(behaviour.at(1), variable);
  }
  if (what == "note-end") {
    // Says on SIGTERM that it ended, and in which order.
    static std::string file;
    file = behaviour.at(1);
    ::signal(SIGTERM, [](int) {
      add_line(file, "ended");
      ::_exit(0);
    });
  }
  if (what == "once") {
    // Serves one life, then dies before it is ready in each further one.
    struct stat info {};
    if (::stat(behaviour.at(1).c_str(), &info) == 0) return 7;
    add_line(behaviour.at(1), "lived");
  }
  say_ready();
  if (what == "listener" || what == "once") answer_connections(5);
  while (true) ::pause();
}

// A mount whose device is a listening socket in the mount point: its worker answers there as a listener does.
class FakeDevice final : public MountedDevice {
 public:
  FakeDevice(UniqueFd device, UniqueFd slots, std::filesystem::path stall)
      : device_(std::move(device)), slots_(std::move(slots)), stall_(std::move(stall)) {}
  int device() const override { return device_.get(); }
  int slots() const override { return slots_.get(); }
  Milliseconds oldest_unanswered() const override {
    // The test asks for one stall by making the file.
    return ::unlink(stall_.c_str()) == 0 ? Milliseconds(6000) : Milliseconds(0);
  }
  Json describe() const override { return Json::Object{}; }
  Status unmount() override { return Ok{}; }
  void abort() override { device_.reset(); }

 private:
  UniqueFd device_, slots_;
  std::filesystem::path stall_;
};

class FakeDriver final : public MountDriver {
 public:
  Result<std::unique_ptr<MountedDevice>> mount(const MountRequest& request) override {
    if (request.mount_point.filename() == "refused") return Error{Code::invalid_argument, "not empty; use --force"};
    UniqueFd slots(::open("/dev/null", O_RDWR | O_CLOEXEC));
    auto listening = listen_unix(request.mount_point / "device", UnixSocket::stream);
    if (!listening) return std::move(listening).error();
    return std::unique_ptr<MountedDevice>(
        new FakeDevice(std::move(*listening), std::move(slots), request.mount_point / "stall"));
  }
  Json worker_options(const MountRequest& request) const override { return request.json(); }
};

std::vector<std::string> texts(const Json& json) {
  std::vector<std::string> all;
  for (const auto& item : json.items()) all.push_back(item.text_or(""));
  return all;
}

int run_fake_supervisor() {
  auto config = read_process_config(3);
  if (!config) return 90;
  const Json& json = *config;
  FakeDriver driver;
  SupervisorOptions options;
  options.store.root = json["store"].text_or("");
  options.idle = Milliseconds(json["idle_ms"].integer_or(0));
  options.settings = json["settings"].text_or("");
  options.port = static_cast<uint16_t>(json["port"].integer_or(0));
  SupervisorParts parts;
  parts.daemon_arguments = texts(json["daemon"]);
  parts.listener_arguments = texts(json["listener"]);
  parts.environment = environment_without({});
  parts.listener_json = [](const ListenerOptions& of) { return Json(of.address); };
  parts.flush = [flushes = json["flushes"].text_or("")](Milliseconds limit) -> Status {
    if (!flushes.empty()) add_line(flushes, "flush " + std::to_string(limit.count()));
    return Ok{};
  };
  parts.mounts = &driver;
  parts.workers.arguments = texts(json["worker"]);
  parts.workers.environment = parts.environment;
  auto ended = run_supervisor(std::move(options), std::move(parts), 4);
  return ended ? 0 : 1;
}

}  // namespace

int main(int count, char** values) {
  std::vector<std::string> arguments(values + 1, values + count);
  if (arguments.at(0) == "supervisor") return run_fake_supervisor();
  return run_child({arguments.begin() + 1, arguments.end()});
}
