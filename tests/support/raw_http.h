#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/clock.h"
#include "store/base/unique_fd.h"

// A client that sends exactly the bytes it is told, for requests that no library would send, and the sockets it needs.
namespace hitfs::testing {

struct ListeningSocket {
  UniqueFd fd;
  int port = 0;  // of a TCP socket
};
// On a free port of 127.0.0.1.
[[nodiscard]] ListeningSocket listen_on_loopback();
[[nodiscard]] ListeningSocket listen_on_unix(const std::filesystem::path& path);

struct RawReply {
  int status = 0;                              // 0: the connection ended before a whole answer was there
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class RawConnection {
 public:
  explicit RawConnection(int port);
  explicit RawConnection(const std::filesystem::path& unix_socket);

  // False when the other side has closed.
  bool send(std::string_view bytes);
  // No more bytes will come from us.
  void end_sending();
  // One answer with a Content-Length; `has_body` is false for the answer to HEAD.
  [[nodiscard]] RawReply read_reply(bool has_body = true);
  // Everything until the other side closes; none when it does not within 30 s.
  [[nodiscard]] std::optional<std::string> read_to_end();
  // True when the other side closes within `at_most` without sending anything more.
  [[nodiscard]] bool closes(Milliseconds at_most = Milliseconds(10000));
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  bool fill();

  UniqueFd fd_;
  std::string buffer_;
};

// One request on a connection of its own; the headers are complete lines ("X: y\r\n"), Host is added.
[[nodiscard]] RawReply request(int port, std::string_view method, std::string_view target,
                               std::string_view headers = "", std::string_view body = "");

}  // namespace hitfs::testing
