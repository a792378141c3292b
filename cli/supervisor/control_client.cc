#include "cli/supervisor/control_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "cli/supervisor/control.h"
#include "store/base/socket.h"

namespace hitfs {

namespace {

constexpr const char* kGone = "the supervisor is gone";

Code code_named(const std::string& name) {
  for (Code code : {Code::not_found, Code::invalid_argument, Code::permission_denied, Code::unavailable, Code::no_space,
                    Code::corrupt}) {
    if (name == to_string(code)) return code;
  }
  return Code::internal;
}

}  // namespace

Result<ControlClient> ControlClient::connect(const StorePaths& store) {
  auto socket = connect_unix(store.supervisor_socket(), UnixSocket::messages);
  if (!socket) return std::move(socket).error();
  return ControlClient(std::move(*socket));
}

Status ControlClient::wait_readable(const Deadline& until) {
  while (true) {
    pollfd polled{socket_.get(), POLLIN, 0};
    int ready = ::poll(&polled, 1, static_cast<int>(until.left().count()));
    if (ready > 0) return Ok{};
    if (ready < 0 && errno != EINTR) return system_error("poll", errno);
    if (until.passed()) return Error{Code::unavailable, "the supervisor did not answer in time"};
  }
}

Result<Json> ControlClient::request(const Json& request, const Deadline& until) {
  auto text = request.dump();
  if (::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) {
    return Error{Code::unavailable, kGone};
  }
  if (auto ready = wait_readable(until); !ready) return std::move(ready).error();
  std::string answer(4 * ControlServer::kMostBytes, '\0');
  ssize_t got = ::recv(socket_.get(), answer.data(), answer.size(), 0);
  if (got <= 0) return Error{Code::unavailable, kGone};
  auto json = Json::parse(std::string_view(answer).substr(0, static_cast<size_t>(got)));
  if (!json) return Error{Code::internal, "the supervisor sent what is no JSON"};
  const Json& said = *json;
  if (said["ok"].bool_or(false)) return json;
  return Error{code_named(said["code"].text_or("")), said["error"].text_or("the supervisor refused")};
}

bool ControlClient::is_ending(const Error& refusal) { return refusal.message == kEnding || refusal.message == kGone; }

Status ControlClient::wait_until_closed(const Deadline& until) {
  char byte = 0;
  while (true) {
    if (auto ready = wait_readable(until); !ready) return ready;
    ssize_t got = ::recv(socket_.get(), &byte, 1, 0);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return Ok{};
  }
}

}  // namespace hitfs
