#include "tests/drills/http_load.h"

#include <fmt/core.h>

#include <iterator>
#include <optional>
#include <stdexcept>

#include "tests/drills/drill.h"

namespace hitfs::testing {

struct HttpLoad::Client {
  unsigned number;
  std::mt19937 random{number};
  unsigned names = 0;
  std::optional<RawConnection> kept = std::nullopt;  // keep-alive
  int kept_since = 0;                                // kills that were done when it was made
};

HttpLoad::HttpLoad(Plan plan, const KillClock& kills, HttpTally& tally)
    : plan_(std::move(plan)), kills_(kills), tally_(tally) {
  for (int i = 0; i < plan_.threads; ++i) {
    threads_.emplace_back([this, number = plan_.first_thread + static_cast<unsigned>(i)] { work(number); });
  }
}

void HttpLoad::finish() {
  if (stop_.exchange(true)) return;
  threads_.clear();
  Client last{plan_.first_thread + static_cast<unsigned>(plan_.threads)};
  for (const auto& [name, bytes] : *stored_.lock()) get(last, name, bytes);
}

void HttpLoad::work(unsigned thread) {
  Client client{thread};
  while (!stop_) step(client);
}

void HttpLoad::step(Client& client) {
  switch (client.random() % 4) {
    case 0: return miss(client);
    case 1: return store(client);
    default:
      const auto& [name, bytes] =
          *std::next(plan_.there.begin(), static_cast<int>(client.random() % plan_.there.size()));
      return get(client, name, bytes);
  }
}

void HttpLoad::wrong(const std::string& what) {
  if (auto first = first_failure_.lock(); first->empty()) *first = what;
}

RawReply HttpLoad::ask(Client& client, const std::string& head, std::string_view body) {
  bool keep = client.random() % 2 == 0;
  if (!client.kept) {
    client.kept_since = kills_.done;
    ++tally_.connects;
    try {
      client.kept.emplace(plan_.port);
    } catch (const std::runtime_error& refused) {
      ++tally_.refused;
      wrong(refused.what());
      return {};
    }
  }
  ++tally_.running;
  client.kept->send(head + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + plan_.authorization +
                    fmt::format("Content-Length: {}\r\n\r\n", body.size()));
  if (!body.empty()) client.kept->send(body);
  auto reply = client.kept->read_reply();
  --tally_.running;
  if (reply.status == 0) {
    bool by_kill = kills_.begun > client.kept_since;
    ++(by_kill ? tally_.cut : tally_.cut_by_none);
    if (!by_kill) wrong(head + ": the connection ended, and nothing was killed");
  }
  if (reply.status == 0 || !keep) client.kept.reset();
  return reply;
}

void HttpLoad::get(Client& client, const std::string& name, const std::string& expected) {
  auto reply = ask(client, "GET /v1/cache/" + name, "");
  if (reply.status == 0) return;
  if (reply.status != 200) {
    ++tally_.wrong_answers;
    return wrong(fmt::format("GET {}: {}", name, reply.status));
  }
  ++tally_.hits;
  tally_.bytes_compared += reply.body.size();
  if (reply.body == expected) return;
  ++tally_.wrong_bytes;
  wrong("GET " + name + ": wrong bytes");
}

void HttpLoad::miss(Client& client) {
  auto name = nx_name(static_cast<int>(500'000'000 + client.number * 100'000 + ++client.names));
  auto reply = ask(client, "GET /v1/cache/" + name, "");
  if (reply.status == 0) return;
  if (reply.status == 404) {
    ++tally_.misses;
    return;
  }
  ++tally_.wrong_answers;
  wrong(fmt::format("GET {}, which is not there: {}", name, reply.status));
}

// A store that was cut is tried again, as a build does that runs again: it was kept, or not.
void HttpLoad::store(Client& client) {
  auto name = nx_name(static_cast<int>(client.number * 100'000 + ++client.names));
  auto bytes = opaque_artifact(1000 + client.random() % 60'000, client.random());
  for (bool again = false;; again = true) {
    auto reply = ask(client, "PUT /v1/cache/" + name, bytes);
    if (reply.status == 0 && tally_.refused == 0) continue;
    if (reply.status == 200) {
      ++tally_.stored;
    } else if (reply.status == 409 && again) {
      ++tally_.already_there;
    } else {
      ++tally_.wrong_answers;
      return wrong(fmt::format("PUT {}: {} {}", name, reply.status, reply.body));
    }
    (*stored_.lock())[name] = std::move(bytes);
    return;
  }
}

}  // namespace hitfs::testing
