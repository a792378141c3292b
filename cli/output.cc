#include "cli/output.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "cli/exit_codes.h"

namespace hitfs {

namespace {

constexpr Milliseconds kBarEvery{100};
constexpr Milliseconds kLineEvery{10000};
constexpr size_t kBarWidth = 24;

}  // namespace

void Output::line(std::string_view text) const {
  if (json_) return;
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

void Output::value(const Json& json) const {
  if (!json_) return;
  fmt::print("{}\n", json.dump());
  std::fflush(stdout);
}

void Output::note(std::string_view text) const { fmt::print(stderr, "hitfs: {}\n", text); }

int Output::fail(const Error& error) const {
  Json json;
  json["error"] = error.message;
  json["code"] = to_string(error.code);
  value(json);
  note(error.message);
  return exit_code_of(error.code);
}

int exit_code_of(Code code) {
  switch (code) {
    case Code::not_found: return kAnswerIsNo;
    case Code::invalid_argument: return kConfiguration;
    case Code::permission_denied: return kConfiguration;
    case Code::unavailable: return kUnavailable;
    case Code::no_space: return kUnavailable;
    case Code::corrupt: return kFailed;
    case Code::internal: return kFailed;
  }
  return kFailed;
}

Progress::Progress(const Output& output, std::string doing)
    : doing_(std::move(doing)), terminal_(::isatty(STDERR_FILENO) == 1), silent_(output.json()) {
  // The first line elsewhere comes only when it takes long.
  next_ = system_clock().now() + (terminal_ ? Milliseconds(0) : kLineEvery);
}

Progress::~Progress() {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
}

void Progress::update(uint64_t done, uint64_t total, std::string_view what) {
  auto now = system_clock().now();
  if (silent_ || now < next_) return;
  next_ = now + (terminal_ ? kBarEvery : kLineEvery);
  if (!terminal_) return fmt::print(stderr, "hitfs: {}: {}\n", doing_, what);
  std::string bar;
  if (total > 0) {
    auto filled =
        std::min(kBarWidth, static_cast<size_t>(static_cast<double>(done) / static_cast<double>(total) * kBarWidth));
    bar = " [" + std::string(filled, '#') + std::string(kBarWidth - filled, ' ') + "]";
  }
  fmt::print(stderr, "\r\x1b[K{}{} {}", doing_, bar, what);
  drawn_ = true;
}

}  // namespace hitfs
