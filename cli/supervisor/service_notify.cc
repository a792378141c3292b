#include "cli/supervisor/service_notify.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "store/base/unique_fd.h"

namespace hitfs {

void notify_service_manager(std::string_view state, int descriptor) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr || (name[0] != '/' && name[0] != '@')) return;
  sockaddr_un address{};
  size_t length = std::strlen(name);
  if (length >= sizeof(address.sun_path)) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name, length);
  if (name[0] == '@') address.sun_path[0] = '\0';  // an abstract socket
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  iovec text{const_cast<char*>(state.data()), state.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{&address, size, &text, 1, nullptr, 0, 0};
  if (descriptor >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
  }
  // A service manager that is not there changes nothing for us.
  [[maybe_unused]] auto ignored = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
}

std::optional<Milliseconds> service_watchdog_interval() {
  const char* microseconds = std::getenv("WATCHDOG_USEC");
  const char* process = std::getenv("WATCHDOG_PID");
  if (microseconds == nullptr) return std::nullopt;
  if (process != nullptr && std::atol(process) != ::getpid()) return std::nullopt;
  auto interval = Milliseconds(std::atoll(microseconds) / 2000);
  if (interval.count() <= 0) return std::nullopt;
  return interval;
}

}  // namespace hitfs
