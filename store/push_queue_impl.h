#pragma once

#include <functional>
#include <set>

#include "store/base/guarded.h"
#include "store/index/sqlite.h"
#include "store/push_queue.h"
#include "store/store_parts.h"

namespace hitfs {

// The push queue in the table `pushes` of the index, changed in the commit lane. Safe from several threads.
class StorePushQueue final : public PushQueue {
 public:
  // `parts` outlives it.
  explicit StorePushQueue(StoreParts& parts) : parts_(parts) {}

  Result<std::optional<PushJob>> take(const std::string& remote, Order order, int64_t now_ms) override;
  Status done(const PushJob& job) override;
  Status retry(const PushJob& job, int64_t not_before_ms, const std::string& why) override;
  Status park(const PushJob& job, const std::string& why) override;
  Result<std::vector<ParkedPush>> parked(size_t limit) override;
  Result<uint64_t> unpark() override;
  Status assign(const std::vector<std::string>& remotes, int64_t now_ms) override;
  Result<bool> has(uint64_t entry_id) override;
  Result<std::vector<PushJob>> pending(size_t limit) override;
  Result<std::optional<int64_t>> next_due_ms(const std::string& remote) override;
  PushQueueStats stats() override;

 private:
  Result<bool> change(std::function<Result<bool>(Index&)> apply);
  Status read_rows(const std::string& sql, size_t limit, const std::function<void(const sqlite::Query&)>& take);

  StoreParts& parts_;
  Guarded<std::set<int64_t>> running_;  // rows taken by this process
};

}  // namespace hitfs
