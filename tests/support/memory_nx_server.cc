#include "tests/support/memory_nx_server.h"

namespace hitfs::testing {

MemoryNxServer::MemoryNxServer(std::string token, std::string prefix, const std::string& certificate_file,
                               const std::string& key_file, uint16_t port)
    : token_(std::move(token)),
      prefix_(std::move(prefix)),
      scheme_(certificate_file.empty() ? "nx+http://" : "nx+https://"),
      server_([this](Connection& peer) { serve(peer); }, certificate_file, key_file, port) {}

void MemoryNxServer::serve(Connection& peer) {
  while (auto request = peer.read_head()) {
    auto body = peer.read_body(*request);
    if (!body) return;
    auto start = prefix_ + "/v1/cache/";
    bool known = request->target.starts_with(start);
    bool allowed = token_.empty() || request->header("authorization") == "Bearer " + token_;
    if (!known || !allowed) {
      peer.answer(known ? 401 : 404, "no", "Content-Type: text/plain\r\n");
      continue;
    }
    auto name = request->target.substr(start.size());
    if (request->method == "PUT") {
      bool is_new = entries_.lock()->try_emplace(name, *body).second;
      peer.answer(is_new ? 200 : 409);
      continue;
    }
    if (request->method == "DELETE") {
      entries_.lock()->erase(name);
      peer.answer(204);
      continue;
    }
    if (auto pause = pause_.load(); pause > Milliseconds(0) && peer.wait_closed_for(pause)) return;
    std::optional<std::string> entry;
    if (auto entries = entries_.lock(); entries->count(name)) entry = (*entries)[name];
    peer.answer(entry ? 200 : 404, entry.value_or(""), "Content-Type: application/octet-stream\r\n");
  }
}

}  // namespace hitfs::testing
