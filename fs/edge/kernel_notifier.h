#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <optional>
#include <thread>

#include "fs/filesystem.h"
#include "store/base/guarded.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

// Sends invalidations to the kernel from a process of its own. To forget a name the kernel takes the directory's lock,
// uninterruptibly, and a program that waits in a LOOKUP there holds it until we answer. A worker killed with a thread
// in that state could not die, its supervisor would wait for it for ever, and nobody would answer the LOOKUP. A
// separate process waits in its place; it ends when its worker is gone.
class NotifyProcess {
 public:
  // Forks: call it before the process has threads. `fuse_fd` stays the caller's.
  static Result<NotifyProcess> start(int fuse_fd);

  // One whole message of the kernel's protocol. Waits while the process is busy and its queue full; false when it is
  // gone.
  bool send(std::span<const std::byte> message);
  // Wakes a sender; nothing is sent afterwards.
  void shut_down();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  NotifyProcess(UniqueFd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}
  UniqueFd socket_;
  pid_t pid_;
};

// KernelNotifier for one connection: a bounded queue and a thread that feeds the NotifyProcess. A name in a directory
// in which a LOOKUP waits is kept back for a moment: the kernel would stop the whole directory until that LOOKUP is
// answered. Safe from several threads.
class QueuedNotifier final : public KernelNotifier {
 public:
  explicit QueuedNotifier(NotifyProcess process, const Clock& clock = system_clock());
  ~QueuedNotifier() override;

  void invalidate_name(Number parent, const std::string& name) override;
  void invalidate_number(Number number) override;

  // Says whether a LOOKUP waits in a directory. Called without a lock.
  void set_busy_check(std::function<bool(Number)> busy);

 private:
  struct Item {
    Number number;     // the directory of `name`, or the number itself
    std::string name;  // "" for a number
    MonotonicTime not_after;
  };
  struct State {
    std::deque<Item> items;
    std::function<bool(Number)> busy;
    bool overflowed = false;
  };

  void push(Item item);
  void run(std::stop_token stop);
  void deliver(const Item& item);

  const Clock* clock_;
  NotifyProcess process_;
  Guarded<State> state_;
  bool gone_ = false;
  std::jthread thread_;
};

}  // namespace hitfs::fs
