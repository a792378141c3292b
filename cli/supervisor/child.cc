#include "cli/supervisor/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "cli/process_config.h"
#include "store/base/log.h"
#include "store/base/subprocess.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::cli};
constexpr size_t kLongestLine = 4096;

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) return "killed by signal " + std::to_string(WTERMSIG(status));
  return "ended with exit code " + std::to_string(WEXITSTATUS(status));
}

struct Pipe {
  UniqueFd read_end, write_end;

  static Result<Pipe> make() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) < 0) return system_error("pipe", errno);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  }
};

}  // namespace

std::string_view to_string(Child::State state) {
  switch (state) {
    case Child::State::stopped: return "stopped";
    case Child::State::starting: return "starting";
    case Child::State::ready: return "ready";
    case Child::State::waiting: return "waiting";
    case Child::State::stopping: return "stopping";
    case Child::State::failed: return "failed";
  }
  return "unknown";
}

std::string message_of_log_line(const std::string& line) {
  for (std::string_view folder : {" store ", " fs ", " sync ", " cli "}) {
    for (std::string_view level : {"error", "warning", "info", "debug"}) {
      auto mark = std::string(level) + std::string(folder);
      // "error sync text" under journald, else with a time and a process id before it.
      if (auto at = line.find(mark); at != std::string::npos && at < 64) return line.substr(at + mark.size());
    }
  }
  return line;
}

std::optional<std::string> disk_trouble_of_log_line(const std::string& line) {
  constexpr std::string_view kEvent = "disk-trouble ";
  auto message = message_of_log_line(line);
  if (!message.starts_with(kEvent)) return std::nullopt;
  return message.substr(kEvent.size());
}

Child::Child(EventLoop& loop, ChildSpec spec, RestartPolicy policy, Observer observer)
    : loop_(loop),
      spec_(std::move(spec)),
      policy_(policy),
      observer_(std::move(observer)),
      backoff_(policy.first_pause, policy.longest_pause) {}

Child::~Child() {
  *alive_ = false;
  if (timer_ != 0) loop_.cancel(timer_);
  if (ready_) loop_.forget(ready_.get());
  if (output_) loop_.forget(output_.get());
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

void Child::start() {
  if (state_ != State::stopped && state_ != State::failed && state_ != State::waiting) return;
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  state_ = State::starting;
  retired_ = false;
  if (auto launched = launch(); !launched) {
    loop_.post([this, alive = alive_, why = launched.error().message] {
      if (*alive && state_ == State::starting) come_back(why);
    });
  }
}

Status Child::launch() {
  auto config = write_process_config(spec_.config);
  if (!config) return std::move(config).error();
  auto ready = Pipe::make(), output = Pipe::make();
  if (!ready) return std::move(ready).error();
  if (!output) return std::move(output).error();

  SpawnOptions options;
  options.program = spec_.program;
  options.arguments = spec_.arguments;
  for (const char* argument : {"--config-fd", "3", "--ready-fd", "4"}) options.arguments.push_back(argument);
  options.environment = spec_.environment;
  options.descriptors = {config->get(), ready->write_end.get()};
  options.descriptors.insert(options.descriptors.end(), spec_.descriptors.begin(), spec_.descriptors.end());
  options.standard[0] = -1;
  options.standard[1] = options.standard[2] = output->write_end.get();
  options.die_with_parent = true;
  options.working_directory = "/";
  auto started = spawn(options);
  if (!started) return std::move(started).error();

  pid_ = *started;
  ready_ = std::move(ready->read_end);
  output_ = std::move(output->read_end);
  loop_.watch(ready_.get(), [this] { on_ready_byte(); });
  loop_.watch(output_.get(), [this] { read_output(); });
  loop_.on_exit(pid_, [this, alive = alive_](int status) {
    if (*alive) on_exit(status);
  });
  timer_ = loop_.after(policy_.start_limit, [this] {
    timer_ = 0;
    last_line_ = "not ready after " + std::to_string(policy_.start_limit.count() / 1000) + " s";
    kill();
  });
  return Ok{};
}

void Child::on_ready_byte() {
  char byte = 0;
  auto got = ::read(ready_.get(), &byte, 1);
  if (got < 0) return;  // nothing yet
  loop_.forget(ready_.get());
  ready_.reset();
  if (got == 0 || state_ != State::starting) return;  // it ended, or ends
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  state_ = State::ready;
  was_ready_ = true;
  kLog.info("child-ready name={} pid={} restarts={}", spec_.name, pid_, restarts_);
  if (observer_.ready) observer_.ready();
}

bool Child::read_output() {
  std::array<char, 4096> piece;
  auto got = ::read(output_.get(), piece.data(), piece.size());
  if (got < 0) return false;
  if (got == 0) {
    loop_.forget(output_.get());
    output_.reset();
    return false;
  }
  partial_line_.append(piece.data(), static_cast<size_t>(got));
  size_t end;
  while ((end = partial_line_.find('\n')) != std::string::npos || partial_line_.size() > kLongestLine) {
    auto line = partial_line_.substr(0, std::min(end, kLongestLine));
    partial_line_.erase(0, end == std::string::npos ? line.size() : end + 1);
    take_line(line);
  }
  return true;
}

void Child::take_line(const std::string& line) {
  if (!line.empty()) last_line_ = line;
  if (auto trouble = disk_trouble_of_log_line(line)) {
    disk_trouble_ = *std::move(trouble);
    disk_trouble_ms_ = system_clock().unix_ms();
  }
  if (observer_.log) observer_.log(line);
}

void Child::on_exit(int status) {
  // What it said last is still in the pipe.
  while (output_ && read_output()) {
  }
  for (UniqueFd* descriptor : {&ready_, &output_}) {
    if (*descriptor) loop_.forget(descriptor->get());
    descriptor->reset();
  }
  pid_ = 0;
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  if (state_ == State::stopping) return finish_stop();
  if (retired_) {
    state_ = State::stopped;
    return;
  }
  auto said = message_of_log_line(last_line_);
  come_back(said.empty() ? describe_end(status) : said + " (" + describe_end(status) + ")");
}

bool Child::ended_too_often() {
  if (policy_.most_in_window == 0) return false;
  auto now = system_clock().now();
  ends_.push_back(now);
  while (!ends_.empty() && now - ends_.front() > policy_.window) ends_.pop_front();
  return ends_.size() > static_cast<size_t>(policy_.most_in_window);
}

void Child::come_back(const std::string& why) {
  // One that never served will not serve the next time either: its starter is told why.
  if (!was_ready_) return fail(why);
  if (ended_too_often()) {
    return fail("ended " + std::to_string(ends_.size()) + " times within " +
                std::to_string(policy_.window.count() / 1000) + " s, the last time: " + why);
  }
  ++restarts_;
  kLog.warn("child-ended name={} restarts={} why=\"{}\"", spec_.name, restarts_, why);
  if (policy_.first_pause.count() == 0) {
    state_ = State::stopped;
    return start();
  }
  state_ = State::waiting;
  timer_ = loop_.after(backoff_.next(), [this] {
    timer_ = 0;
    start();
  });
}

void Child::fail(const std::string& why) {
  state_ = State::failed;
  kLog.error("child-given-up name={} why=\"{}\"", spec_.name, why);
  if (observer_.failed) observer_.failed(why);
}

void Child::stop(Milliseconds limit, std::function<void()> done) {
  stopped_ = std::move(done);
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  state_ = State::stopping;
  if (pid_ <= 0) {
    loop_.post([this, alive = alive_] {
      if (*alive) finish_stop();
    });
    return;
  }
  ::kill(pid_, SIGTERM);
  timer_ = loop_.after(limit, [this] {
    timer_ = 0;
    kLog.warn("child-killed name={} why=\"did not end in time\"", spec_.name);
    kill();
  });
}

void Child::finish_stop() {
  state_ = State::stopped;
  if (auto done = std::exchange(stopped_, nullptr)) done();
}

void Child::kill() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

Json Child::describe() const {
  Json json;
  json["state"] = to_string(state_);
  json["pid"] = pid_;
  json["restarts"] = restarts_;
  if (disk_trouble_ms_ != 0) {
    json["disk_trouble"] = Json::Object{{"text", disk_trouble_}, {"time_ms", disk_trouble_ms_}};
  }
  if (state_ == State::failed) json["why"] = message_of_log_line(last_line_);
  return json;
}

}  // namespace hitfs
