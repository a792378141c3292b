#pragma once

#include <map>
#include <string>

#include "cli/supervisor/event_loop.h"
#include "store/base/unique_fd.h"

namespace hitfs {

// Answers the endpoint's socket while no listener can: a listener that keeps dying is given up, but build tools hold
// its address, and a refused connection fails an nx run. Every GET is a miss (404), everything else is not taken (403).
// It knows no token and no entry, reads no body but to throw it away, and serves kMostConnections at a time; others
// wait in the backlog. Belongs to the loop's thread; the socket is borrowed.
class MissAnswerer {
 public:
  static constexpr size_t kMostConnections = 256;

  MissAnswerer(EventLoop& loop, int listening);
  ~MissAnswerer();
  MissAnswerer(const MissAnswerer&) = delete;
  MissAnswerer& operator=(const MissAnswerer&) = delete;

 private:
  struct Connection {
    UniqueFd socket;
    std::string head;
    bool answered = false;
    EventLoop::TimerId limit = 0;
  };
  void watch_listening();
  void accept_one();
  void receive(int id);
  void answer(Connection& connection);
  void drop(int id);

  EventLoop& loop_;
  int listening_;
  bool accepting_ = false;
  std::map<int, Connection> connections_;  // by descriptor
};

}  // namespace hitfs
