#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/result.h"
#include "store/key.h"

namespace hitfs {

// What happened to a key; the words of `hitfs why`.
enum class AccessKind {
  hit,           // answered from the store
  pulled,        // came from a remote; detail: which
  miss,          // no remote has it; detail: which were asked
  breaker_open,  // not asked: the remote is considered down
  budget_spent,  // not asked: the session has waited enough
  fetch_failed,  // asked, failed; detail: why
  refused,       // an artifact that is damaged or over a limit; detail: why
  stored,        // written on this machine
  pushed,        // taken by a remote; detail: which
  push_failed,   // detail: why
  push_parked,   // detail: why
  evicted,       // detail: why (room, verify, replaced)
};

[[nodiscard]] std::string_view to_string(AccessKind kind);

struct AccessRecord {
  uint64_t number = 0;  // counts on, also over restarts
  int64_t time_ms = 0;
  Key key;
  AccessKind kind = AccessKind::hit;
  std::string detail;
};

// log.db: a ring of recent accesses, synchronous=OFF, so losing it costs only explanations. A failure to write is
// logged once and never reaches a caller's work. Safe from several threads. Records are written in small groups; the
// last ones before a kill may be missing.
class AccessLog {
 public:
  // The records that the ring keeps.
  static constexpr int64_t kRecords = 50'000;

  // Never fails: a log.db that cannot be used is made anew, also when that shows later, and when that fails too, nothing
  // is kept.
  static std::unique_ptr<AccessLog> open(const std::filesystem::path& path, const Clock& clock,
                                         int64_t records = kRecords);
  virtual ~AccessLog() = default;
  virtual void record(const Key& key, AccessKind kind, const std::string& detail) = 0;
  // Newest first.
  virtual Result<std::vector<AccessRecord>> history(const Key& key, size_t limit) = 0;
  // The first `limit` after the record with that number, oldest first: where a reader goes on.
  virtual Result<std::vector<AccessRecord>> after(uint64_t number, size_t limit) = 0;
  // Of the newest record; 0 when there is none.
  virtual Result<uint64_t> last_number() = 0;
};

}  // namespace hitfs
