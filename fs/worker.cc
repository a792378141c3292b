#include "fs/worker.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <optional>
#include <thread>

#include "fs/daemon_link.h"
#include "fs/edge/crash_blame.h"
#include "fs/edge/fuse_server.h"
#include "fs/edge/kernel_notifier.h"
#include "fs/edge/undertaker.h"
#include "fs/last_closes.h"
#include "fs/mounting/mount_table.h"
#include "fs/request_progress.h"
#include "fs/slots/reference_table.h"
#include "store/base/log.h"
#include "store/base/process.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
// The supervisor waits 10 s for an orderly end. What is not handed over by then waits in staging for the next mount of
// this name.
constexpr Milliseconds kHandOver{6000};
constexpr Milliseconds kLastCloses{1000};
constexpr Milliseconds kQuiet{2000};       // for requests that run at the end
constexpr Milliseconds kLastReport{1000};  // for the daemon
constexpr Milliseconds kLook{10};

// SIGTERM comes through a descriptor, to this thread; a Ctrl-C in the terminal is meant for the build.
Result<UniqueFd> take_signals() {
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  if (int failure = ::pthread_sigmask(SIG_BLOCK, &terminate, nullptr); failure != 0) {
    return system_error("block signals", failure);
  }
  for (int ignored : {SIGINT, SIGHUP}) ::signal(ignored, SIG_IGN);
  UniqueFd signals(::signalfd(-1, &terminate, SFD_CLOEXEC));
  if (!signals) return system_error("signalfd", errno);
  return signals;
}

struct End {
  bool unmounted = true;
  bool serving = false;  // by a signal: there may still be requests
};

bool is_mounted(const std::string& place) {
  auto mounted = find_mount(place);
  return mounted && *mounted && (*mounted)->type == "fuse.hitfs";
}

// The supervisor sends the signal after an unmount too, and it may come first, or the connection may live on for files
// that are open. What nobody sees any more is unmounted: nx would believe rows whose files are not there.
End wait_for_end(int gone_fd, int signal_fd, const std::string& place) {
  std::array<pollfd, 2> events{pollfd{gone_fd, POLLIN, 0}, pollfd{signal_fd, POLLIN, 0}};
  while (::poll(events.data(), events.size(), -1) < 0 && errno == EINTR) {
  }
  if ((events[0].revents & POLLIN) != 0) return {};
  return {.unmounted = !is_mounted(place), .serving = true};
}

// Waits until the daemon has what programs finished in this mount. Requests are served meanwhile.
void hand_over(const Filesystem& filesystem, const Deadline& until) {
  while (filesystem.uncommitted() > 0 && !until.passed()) std::this_thread::sleep_for(kLook);
  if (size_t left = filesystem.uncommitted(); left > 0) kLog.warn("left_in_staging entries={}", left);
}

FilesystemOptions filesystem_options(const WorkerOptions& options, const SlotMemory& slots) {
  FilesystemOptions result;
  result.store = options.store;
  result.mount_name = options.mount_name;
  result.connection = slots.header().connection;
  result.scope = options.scope;
  result.mount_point = options.mount_point;
  result.uid = options.uid;
  result.gid = options.gid;
  result.lookup_patience = options.lookup_patience;
  return result;
}

Status serve(const WorkerOptions& options) {
  auto signals = take_signals();
  if (!signals) return std::move(signals).error();
  protect_process();
  raise_file_limit();
  blame_requests_for_crashes();
  auto notify = NotifyProcess::start(options.fuse_fd);  // forks: nothing before this line starts a thread
  if (!notify) return std::move(notify).error();
  auto undertaker = Undertaker::start(options.fuse_fd, options.slots_fd, notify->pid());
  if (!undertaker) return std::move(undertaker).error();

  auto layout = make_layout(options.layout);
  if (!layout) return std::move(layout).error();
  std::optional<CloseWatch> close_watch;
  if ((*layout)->completion() == Completion::close) {
    auto started = CloseWatch::start(options.mount_point);
    if (!started) return std::move(started).error();
    close_watch = *std::move(started);
  }

  auto slots = SlotMemory::attach(options.slots_fd, SlotMemory::Pages::resident);
  if (!slots) return std::move(slots).error();
  auto reader = StoreReader::open(options.store, {}, note_progress);
  if (!reader) return in_context("open the store " + options.store.root.string(), std::move(reader).error());
  ReferenceTable references(*slots);
  QueuedNotifier notifier(std::move(*notify));
  auto daemon = DaemonClient::open(options.store);
  auto filesystem =
      Filesystem::open(filesystem_options(options, *slots), **layout, **reader, *daemon, references, notifier);
  if (!filesystem) return in_context("open the mount " + options.mount_name, std::move(filesystem).error());

  auto server = FuseServer::create({.fuse_fd = options.fuse_fd}, *slots, **filesystem);
  if (!server) return std::move(server).error();
  if (auto started = (*server)->start(); !started) return started;
  notifier.set_busy_check([&server](Number directory) { return (*server)->waits_in(directory); });
  DaemonLink link(options.mount_name, *daemon, **filesystem);
  std::optional<LastCloses> last_closes;
  if (close_watch) last_closes.emplace(*std::move(close_watch), **filesystem);
  kLog.info("mount_served path={} name={} pid={}", options.mount_point, options.mount_name, ::getpid());
  tell_ready(options.ready_fd);

  auto end = wait_for_end((*server)->gone_fd(), signals->get(), options.mount_point);
  if (end.unmounted && last_closes) last_closes->finish(Deadline::after(kLastCloses));
  hand_over(**filesystem, Deadline::after(kHandOver));
  if (end.serving) (*server)->quiesce(Deadline::after(kQuiet));
  auto last = Deadline::after(kLastReport);
  if (end.unmounted) {
    (*filesystem)->leave();
    link.leave(last);
  } else {
    link.report(last);
  }
  kLog.info("mount_left path={} unmounted={}", options.mount_point, end.unmounted);
  undertaker->dismiss();
  // Readers may sit in their read, the link in its long poll, and whoever still waits for an answer gets it from the
  // next worker: nothing of this may be torn down in order. A worker may be killed at any moment, so this is as good.
  ::_exit(0);
}

}  // namespace

Json WorkerOptions::to_json() const {
  Json json;
  json["store"] = store.root.string();
  json["mount_name"] = mount_name;
  json["layout"]["name"] = layout.name;
  json["layout"]["pattern"] = layout.pattern;
  json["layout"]["complete"] = layout.complete;
  json["layout"]["space"] = layout.space;
  json["scope"] = scope;
  json["uid"] = uid;
  json["gid"] = gid;
  json["lookup_patience_ms"] = lookup_patience.count();
  json["mount_point"] = mount_point;
  return json;
}

Result<WorkerOptions> WorkerOptions::from_json(const Json& json) {
  for (const char* needed : {"store", "mount_name"}) {
    if (json[needed].text_or("").empty()) {
      return Error{Code::invalid_argument, std::string("worker options: ") + needed + " is missing"};
    }
  }
  WorkerOptions options;
  options.store.root = json["store"].text_or("");
  options.mount_name = json["mount_name"].text_or("");
  const auto& layout = json["layout"];
  options.layout.name = layout["name"].text_or(options.layout.name);
  options.layout.pattern = layout["pattern"].text_or("");
  options.layout.complete = layout["complete"].text_or("");
  options.layout.space = layout["space"].text_or("");
  options.scope = json["scope"].text_or("");
  options.uid = static_cast<uid_t>(json["uid"].integer_or(0));
  options.gid = static_cast<gid_t>(json["gid"].integer_or(0));
  options.lookup_patience = Milliseconds(json["lookup_patience_ms"].integer_or(options.lookup_patience.count()));
  options.mount_point = json["mount_point"].text_or("");
  return options;
}

int run_mount_worker(const WorkerOptions& options) {
  try {
    auto served = serve(options);
    if (served) return 0;
    kLog.error("worker_failed mount={} error=\"{}\"", options.mount_name, served.error().message);
  } catch (const std::exception& failure) {
    kLog.error("worker_failed mount={} exception=\"{}\"", options.mount_name, failure.what());
  }
  return 1;
}

}  // namespace hitfs::fs
