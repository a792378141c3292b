#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tests/support/socket_server.h"

// Scripts for a SocketServer, each one way in which a cache server fails. `FaultServer server(faults::silent());`
namespace hitfs::testing {

using FaultServer = SocketServer;

namespace faults {

// Reads the request and says nothing.
[[nodiscard]] SocketServer::Script silent();
// Every request gets this status, with `more_headers` ("Name: value\r\n").
[[nodiscard]] SocketServer::Script status(int status, const std::string& more_headers = "");
// Sends these bytes after the request's head, then closes.
[[nodiscard]] SocketServer::Script raw(const std::string& bytes);
// A 200 with Content-Length `announced` of which `sent` bytes come; then closes, or resets.
enum class Ending { close, reset, silence };
[[nodiscard]] SocketServer::Script body(size_t announced, size_t sent, Ending ending);
// Says this before it is asked, as servers of other protocols do, and then nothing more.
[[nodiscard]] SocketServer::Script banner(const std::string& text);
// A 200 with this body to every GET: a start page, a bomb.
[[nodiscard]] SocketServer::Script always(const std::string& body, const std::string& more_headers = "");
// A 200 with Content-Length `announced` whose bytes come as fast as they are taken, and do not end there.
[[nodiscard]] SocketServer::Script endless_body(size_t announced);
// A 200 in chunks without end, as fast as they are taken.
[[nodiscard]] SocketServer::Script endless_chunks();
// Header lines without end.
[[nodiscard]] SocketServer::Script endless_head();
// The head of the answer, a byte per `pause`, without end.
[[nodiscard]] SocketServer::Script slow_head(Milliseconds pause);
// A 200 whose body comes a byte per `pause`.
[[nodiscard]] SocketServer::Script slow_body(const std::string& body, Milliseconds pause);
// Takes `bytes` of an upload and then stops reading.
[[nodiscard]] SocketServer::Script stops_reading_after(size_t bytes);
// Takes `bytes` of an upload and resets.
[[nodiscard]] SocketServer::Script resets_after(size_t bytes);
// Answers without reading the upload, and closes.
[[nodiscard]] SocketServer::Script early_answer(int status);

}  // namespace faults
}  // namespace hitfs::testing
