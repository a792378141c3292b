#include "fs/edge/kernel_notifier.h"

#include <linux/fuse.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "fs/edge/helper_process.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

// Top-level names are believed for 60 s at most, deeper ones keep their bytes referenced: what does not fit is
// harmless.
constexpr size_t kMostItems = 200'000;
constexpr Milliseconds kLongestHold{2500};  // a lookup waits for 2 s at most
constexpr Milliseconds kHoldStep{20};
constexpr size_t kLongestMessage = sizeof(fuse_out_header) + sizeof(fuse_notify_inval_entry_out) + 256;

// The whole life of the notify process.
void pass_on(int socket, int fuse_fd) {
  std::array<std::byte, kLongestMessage> message;
  for (;;) {
    ssize_t got = ::recv(socket, message.data(), message.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    // Refused is fine (the kernel does not know that name), gone is the end.
    if (::write(fuse_fd, message.data(), static_cast<size_t>(got)) < 0 && errno == ENODEV) return;
  }
}

template <typename Payload>
std::vector<std::byte> message_of(fuse_notify_code code, const Payload& payload, std::string_view name) {
  size_t name_bytes = name.empty() ? 0 : name.size() + 1;  // with its NUL
  std::vector<std::byte> message(sizeof(fuse_out_header) + sizeof(payload) + name_bytes);
  fuse_out_header out{static_cast<uint32_t>(message.size()), static_cast<int32_t>(code), 0};
  std::memcpy(message.data(), &out, sizeof(out));
  std::memcpy(message.data() + sizeof(out), &payload, sizeof(payload));
  std::memcpy(message.data() + sizeof(out) + sizeof(payload), name.data(), name.size());
  return message;
}

}  // namespace

Result<NotifyProcess> NotifyProcess::start(int fuse_fd) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return system_error("socketpair", errno);
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  std::array kept{theirs.get(), fuse_fd};
  auto child = fork_helper(kNotifyHelper, kept, [](std::span<const int> now) { pass_on(now[0], now[1]); });
  if (!child) return std::move(child).error();
  return NotifyProcess(std::move(ours), *child);
}

bool NotifyProcess::send(std::span<const std::byte> message) {
  ssize_t sent;
  do {
    sent = ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

void NotifyProcess::shut_down() { ::shutdown(socket_.get(), SHUT_RDWR); }

QueuedNotifier::QueuedNotifier(NotifyProcess process, const Clock& clock)
    : clock_(&clock), process_(std::move(process)), thread_([this](std::stop_token stop) { run(std::move(stop)); }) {}

QueuedNotifier::~QueuedNotifier() {
  thread_.request_stop();
  process_.shut_down();
}

void QueuedNotifier::set_busy_check(std::function<bool(Number)> busy) { state_.lock()->busy = std::move(busy); }

void QueuedNotifier::invalidate_name(Number parent, const std::string& name) {
  push({parent, name, clock_->now() + kLongestHold});
}

void QueuedNotifier::invalidate_number(Number number) { push({number, "", clock_->now()}); }

void QueuedNotifier::push(Item item) {
  bool first_overflow = false;
  {
    auto state = state_.lock();
    if (state->items.size() >= kMostItems) {
      first_overflow = !std::exchange(state->overflowed, true);
      state->items.pop_front();
    }
    state->items.push_back(std::move(item));
  }
  state_.notify_all();
  if (first_overflow) kLog.warn("invalidations_dropped limit={}", kMostItems);
}

void QueuedNotifier::run(std::stop_token stop) {
  std::deque<Item> held;
  while (!stop.stop_requested()) {
    std::deque<Item> items;
    std::function<bool(Number)> busy;
    {
      auto state = state_.lock();
      auto work = [](const State& now) { return !now.items.empty(); };
      if (held.empty()) {
        if (!state.wait(stop, work)) return;
      } else {
        state.wait_until(stop, clock_->now() + kHoldStep, work);
      }
      items.swap(state->items);
      busy = state->busy;
    }
    // What was held stands before what is new, so that the order of one name stays.
    std::move(items.begin(), items.end(), std::back_inserter(held));
    items.swap(held);
    held.clear();
    for (auto& item : items) {
      if (stop.stop_requested()) return;
      bool wait = !item.name.empty() && busy && busy(item.number) && clock_->now() < item.not_after;
      if (wait && held.size() < kMostItems) {
        held.push_back(std::move(item));
      } else {
        deliver(item);
      }
    }
  }
}

void QueuedNotifier::deliver(const Item& item) {
  if (gone_) return;
  if (item.name.empty()) {
    fuse_notify_inval_inode_out payload{item.number, 0, 0};
    gone_ = !process_.send(message_of(FUSE_NOTIFY_INVAL_INODE, payload, ""));
  } else {
    fuse_notify_inval_entry_out payload{};
    payload.parent = item.number;
    payload.namelen = static_cast<uint32_t>(item.name.size());
    gone_ = !process_.send(message_of(FUSE_NOTIFY_INVAL_ENTRY, payload, item.name));
  }
  if (gone_) kLog.warn("notify_process_gone effect=\"names are believed until they expire\"");
}

}  // namespace hitfs::fs
