#include "cli/supervisor/health_probe.h"

#include <poll.h>
#include <sys/socket.h>

#include <string_view>

#include "store/base/process.h"

namespace hitfs {

namespace {

constexpr std::string_view kQuestion = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

bool is_readable(int socket) {
  pollfd now{socket, POLLIN, 0};
  return ::poll(&now, 1, 0) > 0;
}

}  // namespace

void HealthProbe::ask() {
  if (question_) return;
  auto connected = connect_();
  if (!connected) return;
  question_ = *std::move(connected);
  asked_ = system_clock().now();
  worked_ = cpu_time(process_);
  // A hundred bytes always fit into a fresh connection's buffer.
  [[maybe_unused]] auto sent = ::send(question_.get(), kQuestion.data(), kQuestion.size(), MSG_NOSIGNAL);
  loop_.watch(question_.get(), [this] { end(); });
}

Milliseconds HealthProbe::silent_for() const {
  // The answer may have come while this process itself was stopped.
  if (!question_ || is_readable(question_.get())) return Milliseconds(0);
  return std::chrono::duration_cast<Milliseconds>(system_clock().now() - asked_);
}

bool HealthProbe::works() const {
  constexpr int kHundredth = 100;
  return question_ && (cpu_time(process_) - worked_) * kHundredth > system_clock().now() - asked_;
}

void HealthProbe::end() {
  if (!question_) return;
  loop_.forget(question_.get());
  question_.reset();
}

}  // namespace hitfs
