#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/memory_nx_server.h"
#include "tests/support/process.h"
#include "tests/support/socket_server.h"

namespace hitfs::testing {

using Artifacts = MemoryNxServer::Entries;

// A cache server with one address that is broken now and can be mended.
class Outage {
 public:
  virtual ~Outage() = default;

  // For nx as it stands, for hitfs with "nx+" before it.
  [[nodiscard]] virtual std::string url() const { return "http://127.0.0.1:" + std::to_string(port_.number()); }
  // How often a client has met the fault, as far as can be seen from here.
  [[nodiscard]] virtual uint64_t met() = 0;
  // What a client needs to be in this server's world.
  [[nodiscard]] virtual Command seen_by(Command command) const { return command; }
  // From now on a good server with these artifacts has the address.
  virtual void mend(const Artifacts& artifacts) = 0;

 protected:
  void begin_good(const Artifacts& artifacts, const std::string& certificate = "", const std::string& key = "");

  ReservedPort port_;
  std::unique_ptr<MemoryNxServer> good_;
};

enum class Pace {
  fine,  // no fault: what hitfs itself costs
  down,  // whoever asks learns it at once: may cost a build nothing
  slow,  // may cost a build its budget of waiting
};

struct OutageKind {
  const char* name;
  Pace pace;
  const char* why;  // part of what `hitfs why` says about one of the names
  // `artifacts` are what the server has, as far as it comes to that; `folder` is empty.
  std::function<std::unique_ptr<Outage>(const Artifacts& artifacts, const std::filesystem::path& folder)> begin;
  bool needs_dns = false;  // DnsServer::possible()
  bool can_be_met = true;  // met() counts
  bool some_hits = false;  // a part of the artifacts comes
  bool in_short_form = false;
};

void PrintTo(const OutageKind& kind, std::ostream* out);

// No fault, and then every one of the drill.
[[nodiscard]] std::vector<OutageKind> outage_kinds();

}  // namespace hitfs::testing
