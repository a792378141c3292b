#include "tests/drills/outages.h"

#include <atomic>

#include "tests/support/dns_server.h"
#include "tests/support/fault_server.h"
#include "tests/support/full_backlog.h"

namespace hitfs::testing {

void PrintTo(const OutageKind& kind, std::ostream* out) { *out << kind.name; }

void Outage::begin_good(const Artifacts& artifacts, const std::string& certificate, const std::string& key) {
  good_ = std::make_unique<MemoryNxServer>("", "", certificate, key, port_.number());
  good_->fill(artifacts);
}

namespace {

using Count = std::atomic<uint64_t>;
// A script that counts what it did wrong.
using Play = std::function<void(Connection&, const Artifacts&, Count&)>;

class NobodyListens final : public Outage {
 public:
  uint64_t met() override { return 0; }  // the kernel says no
  void mend(const Artifacts& artifacts) override { begin_good(artifacts); }
};

class NoFault final : public Outage {
 public:
  NoFault() { begin_good({}); }
  uint64_t met() override { return good_->server().accepted(); }
  void mend(const Artifacts& artifacts) override { good_->fill(artifacts); }
};

class DropsSyn final : public Outage {
 public:
  uint64_t met() override { return full_->drops() ? full_->dropped() : 0; }
  void mend(const Artifacts& artifacts) override {
    full_.reset();
    begin_good(artifacts);
  }

 private:
  std::unique_ptr<FullBacklog> full_ = std::make_unique<FullBacklog>(port_.number());
};

class Plays : public Outage {
 public:
  Plays(Play play, Artifacts artifacts) : play_(std::move(play)), artifacts_(std::move(artifacts)) {}
  uint64_t met() override { return met_; }
  void mend(const Artifacts& artifacts) override {
    end_faults();
    begin_good(artifacts);
  }

 protected:
  void end_faults() { server_.reset(); }
  void begin(const std::string& certificate = "", const std::string& key = "") {
    server_ = std::make_unique<SocketServer>([this](Connection& peer) { play_(peer, artifacts_, met_); }, certificate,
                                             key, port_.number());
  }

 private:
  const Play play_;
  const Artifacts artifacts_;
  Count met_ = 0;
  std::unique_ptr<SocketServer> server_;  // last: its threads use the rest
};

class PlaysHttp final : public Plays {
 public:
  PlaysHttp(Play play, const Artifacts& artifacts) : Plays(std::move(play), artifacts) { begin(); }
};

// Its certificate is not the one that its clients were told to trust.
class WrongCertificate final : public Plays {
 public:
  explicit WrongCertificate(std::filesystem::path folder)
      : Plays([](Connection& peer, const Artifacts&, Count& met) { ++met, peer.read_head(); }, {}),
        folder_(std::move(folder)) {
    for (const char* name : {"wrong", "right"}) {
      std::filesystem::create_directory(folder_ / name);
      write_self_signed_certificate(folder_ / name);
    }
    begin(folder_ / "wrong/cert.pem", folder_ / "wrong/key.pem");
  }
  std::string url() const override { return "https://127.0.0.1:" + std::to_string(port_.number()); }
  Command seen_by(Command command) const override {
    command.environment["NODE_EXTRA_CA_CERTS"] = folder_ / "right/cert.pem";
    return command;
  }
  void mend(const Artifacts& artifacts) override {
    end_faults();
    begin_good(artifacts, folder_ / "right/cert.pem", folder_ / "right/key.pem");
  }

 private:
  const std::filesystem::path folder_;
};

class NoName final : public Outage {
 public:
  NoName(const std::filesystem::path& folder, DnsServer::Mood mood) : names_(folder, mood) {}
  std::string url() const override { return "http://cache.hitfs.test:" + std::to_string(port_.number()); }
  uint64_t met() override { return names_.asked(); }
  Command seen_by(Command command) const override { return names_.asking_it(std::move(command)); }
  void mend(const Artifacts& artifacts) override {
    begin_good(artifacts);
    names_.become(DnsServer::Mood::loopback);
  }

 private:
  DnsServer names_;
};

constexpr Milliseconds kSecond{1'000};

// The artifact that a GET asks for, whole answer; nothing when it is not here.
std::optional<std::string> asked_for(const SeenRequest& request, const Artifacts& artifacts) {
  auto found = artifacts.find(request.target.substr(request.target.rfind('/') + 1));
  if (request.method != "GET" || found == artifacts.end()) return std::nullopt;
  return found->second;
}

// Uploads are taken, what is not here is 404; false when the peer is gone.
bool answer_the_rest(Connection& peer, const SeenRequest& request) {
  return peer.read_body(request) && peer.answer(request.method == "PUT" ? 200 : 404);
}

bool trickle(Connection& peer, std::string_view bytes) {
  for (char byte : bytes) {
    if (!peer.send({&byte, 1}) || peer.wait_closed_for(kSecond)) return false;
  }
  return true;
}

std::string head_of(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
}

void stay_silent(Connection& peer, const Artifacts&, Count& met) {
  if (!peer.read_head()) return;
  ++met;
  peer.wait_closed();
}

void trickle_from_the_head(Connection& peer, const Artifacts&, Count& met) {
  if (!peer.read_head()) return;
  ++met;
  trickle(peer, head_of(""));
}

void trickle_the_body(Connection& peer, const Artifacts& artifacts, Count& met) {
  while (auto request = peer.read_head()) {
    auto body = asked_for(*request, artifacts);
    if (!body) {
      if (!answer_the_rest(peer, *request)) return;
      continue;
    }
    ++met;
    if (!peer.send(head_of(*body)) || !trickle(peer, *body)) return;
  }
}

void cut_the_body(Connection& peer, const Artifacts& artifacts, Count& met) {
  while (auto request = peer.read_head()) {
    auto body = asked_for(*request, artifacts);
    if (!body) {
      if (!answer_the_rest(peer, *request)) return;
      continue;
    }
    ++met;
    peer.send(head_of(*body) + body->substr(0, body->size() * 99 / 100));
    return;
  }
}

Play always_says(int status, const std::string& headers) {
  return [=](Connection& peer, const Artifacts&, Count& met) {
    while (auto request = peer.read_head()) {
      ++met;
      if (!peer.read_body(*request) || !peer.answer(status, "words about it", headers)) return;
    }
  };
}

void speak_ssh(Connection& peer, const Artifacts&, Count& met) {
  ++met;
  if (peer.send("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")) peer.wait_closed();
}

// The first half of the artifacts comes after 5 ms each, the rest after 2 s each.
Play slow_down_in_the_middle() {
  auto asked = std::make_shared<Count>(0);
  return [=](Connection& peer, const Artifacts& artifacts, Count& met) {
    while (auto request = peer.read_head()) {
      auto body = asked_for(*request, artifacts);
      bool slow = *asked > artifacts.size() / 2;
      if (body) slow = ++*asked > artifacts.size() / 2;
      if (slow) ++met;
      if (peer.wait_closed_for(slow ? 2 * kSecond : Milliseconds(5))) return;
      if (body ? !peer.answer(200, *body) : !answer_the_rest(peer, *request)) return;
    }
  };
}

template <typename Kind>
OutageKind simple(const char* name, Pace pace, const char* why) {
  return {name, pace, why, [](const Artifacts&, const auto&) { return std::make_unique<Kind>(); }};
}

OutageKind played(const char* name, Pace pace, const char* why, const Play& play) {
  return {name, pace, why,
          [play](const Artifacts& artifacts, const auto&) { return std::make_unique<PlaysHttp>(play, artifacts); }};
}

OutageKind short_too(OutageKind kind) {
  kind.in_short_form = true;
  return kind;
}

OutageKind some_of_them(OutageKind kind) {
  kind.some_hits = true;
  return kind;
}

OutageKind unnamed(const char* name, Pace pace, const char* why, DnsServer::Mood mood) {
  return {name, pace, why,
          [mood](const Artifacts&, const auto& folder) { return std::make_unique<NoName>(folder, mood); }, true};
}

}  // namespace

std::vector<OutageKind> outage_kinds() {
  return {
      simple<NoFault>("no fault, empty server", Pace::fine, ""),
      {"connection refused", Pace::down, "connect",
       [](const Artifacts&, const auto&) { return std::make_unique<NobodyListens>(); }, false, false, false, true},
      simple<DropsSyn>("dropped SYN", Pace::slow, "connect"),
      short_too(played("accept, then silent", Pace::slow, "could not be pulled", stay_silent)),
      played("1 byte per second, head", Pace::slow, "could not be pulled", trickle_from_the_head),
      played("1 byte per second, body", Pace::slow, "budget", trickle_the_body),
      short_too(played("502", Pace::down, "answered 502", always_says(502, ""))),
      {"TLS: wrong certificate", Pace::down, "certificate",
       [](const Artifacts&, const auto& folder) { return std::make_unique<WrongCertificate>(folder); }},
      short_too(unnamed("DNS: no such name", Pace::down, "resolve", DnsServer::Mood::unknown)),
      unnamed("DNS: silent resolver", Pace::slow, "could not be pulled", DnsServer::Mood::silent),
      played("429, Retry-After: 5", Pace::slow, "asks for a pause", always_says(429, "Retry-After: 5\r\n")),
      played("speaks SSH", Pace::down, "could not be pulled", speak_ssh),
      short_too(played("body cut at 99 %", Pace::down, "could not be pulled", cut_the_body)),
      short_too(some_of_them(played("5 ms, then 2 s", Pace::slow, "", slow_down_in_the_middle()))),
  };
}

}  // namespace hitfs::testing
