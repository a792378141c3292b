#include "tests/support/full_backlog.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace hitfs::testing {

namespace {

constexpr int kMostWaiting = 8;
constexpr int kNoAnswerMs = 300;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// True when the connect came to an end.
bool answered(const UniqueFd& fd) {
  pollfd connecting{fd.get(), POLLOUT, 0};
  return ::poll(&connecting, 1, kNoAnswerMs) > 0;
}

// /proc/net/netstat has for each group a line of names and a line of values.
uint64_t listen_drops() {
  std::ifstream counters("/proc/net/netstat");
  for (std::string names, values; std::getline(counters, names) && std::getline(counters, values);) {
    std::istringstream name_words(names), value_words(values);
    for (std::string name, value; name_words >> name && value_words >> value;) {
      if (name == "ListenDrops") return std::stoull(value);
    }
  }
  return 0;
}

}  // namespace

FullBacklog::FullBacklog(uint16_t port) : port_(port), listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  auto address = loopback(port);
  int on = 1;
  ::setsockopt(listening_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listening_.get(), 0) != 0) {
    throw std::runtime_error("cannot listen on port " + std::to_string(port));
  }
  while (waiting_.size() < kMostWaiting && (waiting_.empty() || answered(waiting_.back()))) {
    waiting_.push_back(connect());
  }
  if (!drops()) throw std::runtime_error("a queue of length 0 that never fills");
  dropped_before_ = listen_drops();
}

UniqueFd FullBacklog::connect() const {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  auto address = loopback(port_);
  [[maybe_unused]] int under_way = ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  return fd;
}

bool FullBacklog::drops() const { return !answered(connect()); }

uint64_t FullBacklog::dropped() const { return listen_drops() - dropped_before_; }

}  // namespace hitfs::testing
