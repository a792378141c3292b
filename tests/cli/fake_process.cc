// The processes of the supervisor's tests: stand-ins for daemon, listener and worker, and a supervisor of them.
//
//   fake_process child BEHAVIOUR...   with --config-fd and --ready-fd as hitfs gives them
//   fake_process supervisor           options as JSON in --config-fd, see supervisor_fixture.h
//   fake_process cli ARGUMENT...      hitfs, with these processes in the place of its own; FAKE_DAEMON says how the
//                                     daemon behaves ("daemon" unless it says more), FAKE_LISTENER the listener
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/context.h"
#include "cli/lease.h"
#include "cli/process_config.h"
#include "cli/supervisor/run_supervisor.h"
#include "store/base/io.h"
#include "store/base/process.h"
#include "store/base/socket.h"
#include "store/base/subprocess.h"
#include "sync/listener/http_server.h"

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

// The daemon's routes that `run`, `stop` and `flush` need, with figures of its own. Each request is noted in
// <store>/requests.
class FakeDaemon final : public HttpHandler {
 public:
  explicit FakeDaemon(std::filesystem::path store) : store_(std::move(store)) {}
  std::unique_ptr<HttpTransaction> begin(const HttpRequest& request) override {
    auto line = request.method + " " + request.path;
    add_line((store_ / "requests").string(), line);
    return with_json_body(4096, [line, pending = uploads()](const Json&, HttpResponder responder) {
      Json answer = Json(Json::Object{});
      if (line == "POST /v1/sessions") answer["session"] = "s1";
      if (line == "DELETE /v1/sessions/s1") {
        for (const char* name : {"hit", "miss", "pushed", "refused", "failed", "waited_ms"}) answer[name] = 2;
        answer["prewarmed"] = 1;
        answer["pending"] = pending;
      }
      if (line == "POST /v1/flush") {
        answer["pending"] = pending;
        if (pending > 0) answer["left"].push_back(Json::Object{{"key", "nx/1"}, {"bytes", 1500}, {"remote", "far"}});
      }
      responder.send(json_reply(200, answer));
    });
  }

 private:
  // The test leaves uploads by making the file.
  int uploads() const { return std::filesystem::exists(store_ / "uploads") ? 1 : 0; }
  std::filesystem::path store_;
};

[[noreturn]] void be_daemon(const Json& config) {
  std::filesystem::path store = config["store"].text_or("");
  auto listening = listen_unix(store / "hitfs.sock", UnixSocket::stream);
  FakeDaemon handler(store);
  auto server = HttpServer::start(listening->get(), handler, {});
  say_ready();
  while (true) ::pause();
}

int run_child(const std::vector<std::string>& behaviour) {
  auto config = read_process_config(3);
  if (!config) return 90;
  const std::string& what = behaviour.at(0);
  if (what == "daemon") be_daemon(*config);
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
  // A thread in state D, as one that waits for a disk: that is how the kernel holds who called vfork().
  if (what == "disk") {
    std::thread([] {
      if (::vfork() == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::pause();
      }
    }).detach();
    while (!waits_for_disk(::getpid())) std::this_thread::yield();
  }
  say_ready();
  if (what == "listener" || what == "once" || what == "disk") answer_connections(5);
  while (true) ::pause();
}

// A mount whose device is a listening socket in the mount point: its worker answers there as a listener does.
class FakeDevice final : public MountedDevice {
 public:
  FakeDevice(UniqueFd device, UniqueFd slots, std::filesystem::path stall)
      : device_(std::move(device)), slots_(std::move(slots)), stall_(std::move(stall)) {}
  int device() const override { return device_.get(); }
  int slots() const override { return slots_.get(); }
  Milliseconds stalled_for() override {
    // The test asks for one stall by making the file.
    return ::unlink(stall_.c_str()) == 0 ? Milliseconds(6000) : Milliseconds(0);
  }
  void blame(Milliseconds) override {}
  void worker_replaced() override {}
  Json kept() const override { return Json::Object{}; }
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
    std::filesystem::create_directories(request.mount_point);
    auto listening = listen_unix(request.mount_point / "device", UnixSocket::stream);
    if (!listening) return std::move(listening).error();
    return std::unique_ptr<MountedDevice>(
        new FakeDevice(std::move(*listening), std::move(slots), request.mount_point / "stall"));
  }
  Result<std::unique_ptr<MountedDevice>> adopt(const MountRequest& request, const Json&, UniqueFd device,
                                               UniqueFd slots) override {
    return std::unique_ptr<MountedDevice>(
        new FakeDevice(std::move(device), std::move(slots), request.mount_point / "stall"));
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
  options.daemon_options["store"] = json["store"];
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

std::string variable(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

Json child_words(const std::string& behaviour) {
  Json::Array words{FAKE_PROCESS, "child"};
  auto space = behaviour.find(' ');
  words.emplace_back(behaviour.substr(0, space));
  if (space != std::string::npos) words.emplace_back(behaviour.substr(space + 1));
  return words;
}

int run_cli(int count, char** values) {
  Programs programs;
  programs.supervisor_arguments = {FAKE_PROCESS, "supervisor"};
  programs.supervisor_options = [](const Config& config, const SupervisorTask&) -> Result<Json> {
    Json json;
    json["store"] = config.store.root.string();
    json["idle_ms"] = config.idle.count();
    json["port"] = config.port;
    json["settings"] = settings_digest(config);
    json["daemon"] = child_words(variable("FAKE_DAEMON", "daemon"));
    json["listener"] = child_words(variable("FAKE_LISTENER", "listener"));
    json["worker"] = child_words("listener");
    return json;
  };
  return run_command_line(count - 1, values + 1, programs);
}

}  // namespace

int main(int count, char** values) {
  std::vector<std::string> arguments(values + 1, values + count);
  if (arguments.at(0) == "cli") return run_cli(count, values);
  if (arguments.at(0) == "supervisor") return run_fake_supervisor();
  return run_child({arguments.begin() + 1, arguments.end()});
}
