#include "tests/support/fault_server.h"

namespace hitfs::testing::faults {

SocketServer::Script silent() {
  return [](Connection& peer) {
    if (peer.read_head()) peer.wait_closed();
  };
}

SocketServer::Script status(int status, const std::string& more_headers) {
  return [=](Connection& peer) {
    while (auto request = peer.read_head()) {
      if (!peer.read_body(*request) || !peer.answer(status, "words about it", more_headers)) return;
    }
  };
}

SocketServer::Script raw(const std::string& bytes) {
  return [=](Connection& peer) {
    if (peer.read_head()) peer.send(bytes);
  };
}

SocketServer::Script body(size_t announced, size_t sent, Ending ending) {
  return [=](Connection& peer) {
    if (!peer.read_head()) return;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(announced) + "\r\n\r\n");
    peer.send(std::string(sent, 'x'));
    if (ending == Ending::reset) peer.reset();
    if (ending == Ending::silence) peer.wait_closed();
  };
}

SocketServer::Script banner(const std::string& text) {
  return [=](Connection& peer) {
    if (peer.send(text)) peer.wait_closed();
  };
}

SocketServer::Script always(const std::string& body, const std::string& more_headers) {
  return [=](Connection& peer) {
    while (peer.read_head() && peer.answer(200, body, more_headers)) {
    }
  };
}

SocketServer::Script endless_body(size_t announced) {
  return [=](Connection& peer) {
    if (!peer.read_head()) return;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(announced) + "\r\n\r\n");
    std::string piece(0x10000, 'x');
    while (peer.send(piece)) {
    }
  };
}

SocketServer::Script endless_chunks() {
  return [](Connection& peer) {
    if (!peer.read_head()) return;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    auto chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
    while (peer.send(chunk)) {
    }
  };
}

SocketServer::Script endless_head() {
  return [](Connection& peer) {
    if (!peer.read_head() || !peer.send("HTTP/1.1 200 OK\r\n")) return;
    while (peer.send("X-More: and more and more and more and more\r\n")) {
    }
  };
}

SocketServer::Script slow_head(Milliseconds pause) {
  return [=](Connection& peer) {
    if (!peer.read_head() || !peer.send("HTTP/1.1 200 OK\r\nX-Slow: ")) return;
    while (peer.send("x") && !peer.wait_closed_for(pause)) {
    }
  };
}

SocketServer::Script slow_body(const std::string& body, Milliseconds pause) {
  return [=](Connection& peer) {
    if (!peer.read_head()) return;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
    for (char byte : body) {
      if (!peer.send({&byte, 1}) || peer.wait_closed_for(pause)) return;
    }
    peer.wait_closed();
  };
}

SocketServer::Script stops_reading_after(size_t bytes) {
  return [=](Connection& peer) {
    auto request = peer.read_head();
    if (!request) return;
    if (!request->header("expect").empty()) peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    peer.read_some(bytes);
    while (!peer.wait_closed_for(Milliseconds(60'000))) {
    }
  };
}

SocketServer::Script resets_after(size_t bytes) {
  return [=](Connection& peer) {
    auto request = peer.read_head();
    if (!request) return;
    if (!request->header("expect").empty()) peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    peer.read_some(bytes);
    peer.reset();
  };
}

SocketServer::Script early_answer(int status) {
  return [=](Connection& peer) {
    if (!peer.read_head()) return;
    peer.answer(status);
    peer.wait_closed_for(Milliseconds(60'000));
  };
}

}  // namespace hitfs::testing::faults
