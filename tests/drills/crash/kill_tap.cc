// Preloaded into programs of hitfs: tells what phase each change of the store belongs to, and kills the process inside
// of the one that the test has chosen.
#include <dlfcn.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "tests/drills/crash/disk_tap.h"
#include "tests/drills/crash/kill_page.h"

namespace hitfs::testing {

namespace {

// What the SQLite transaction of this thread does.
thread_local Phase t_transaction = Phase::index_transaction;

[[noreturn]] void die() {
  ::syscall(SYS_kill, ::syscall(SYS_getpid), SIGKILL);
  while (true) ::pause();
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

Phase phase_of_name(const DiskCall& call, std::string_view name) {
  bool removes = call.kind == DiskCall::Kind::unlink;
  if (name.starts_with("index.db")) return t_transaction;
  if (name.starts_with("log.db")) return Phase::access_log;
  if (name.starts_with("staging/test/")) return Phase::overlay_copy_up;  // of the mount of the test
  if (name.starts_with("staging/")) return removes ? Phase::other : Phase::body_receive;
  bool placed = name.starts_with("cas/") || name.starts_with("packs/") || name.starts_with("manifests/");
  if (placed && removes) return Phase::eviction;
  if (placed) return Phase::blob_rename;
  if (!name.starts_with("intakes/") || removes) return Phase::other;
  if (!call.target.empty() || contains(name, "-blob-") || contains(name, "-spare-")) return Phase::blob_rename;
  return Phase::body_receive;
}

class KillTap final : public DiskObserver {
 public:
  KillTap(KillPage* page, size_t folder) : page_(page), folder_(folder) {}

  void before(const DiskCall& call) override {
    auto phase = phase_of(call);
    auto number = static_cast<size_t>(phase);
    ++page_->under_way[number];
    ++page_->system_calls[number];
    auto armed = page_->armed.load();
    bool mine = armed == KillPage::kAnyPhase || armed == static_cast<uint32_t>(phase);
    t_dies = mine && page_->countdown.fetch_sub(1) == 1;
    if (!t_dies || page_->moment == KillPage::Moment::after) return;
    if (page_->moment == KillPage::Moment::half && call.kind == DiskCall::Kind::write) {
      ::syscall(SYS_pwrite64, call.fd, call.bytes.data(), call.bytes.size() / 2, call.offset);
    }
    end(phase);
  }

  void after(const DiskCall& call, bool /*succeeded*/) override {
    auto phase = phase_of(call);
    if (t_dies) end(phase);
    --page_->under_way[static_cast<size_t>(phase)];
  }

 private:
  [[nodiscard]] Phase phase_of(const DiskCall& call) const {
    std::string_view path = call.target.empty() ? call.path : call.target;
    return path.size() <= folder_ ? Phase::other : phase_of_name(call, path.substr(folder_ + 1));
  }
  [[noreturn]] void end(Phase phase) {
    page_->died_in = static_cast<uint32_t>(phase);
    die();
  }

  KillPage* page_;
  size_t folder_;
  static thread_local bool t_dies;
};

thread_local bool KillTap::t_dies = false;

__attribute__((constructor)) void begin() {
  const char* file = std::getenv("HITFS_DRILL_PAGE");
  const char* folder = std::getenv("HITFS_DRILL_FOLDER");
  if (file == nullptr || folder == nullptr) return;
  int fd = ::open(file, O_RDWR | O_CLOEXEC);
  void* page = fd < 0 ? MAP_FAILED : ::mmap(nullptr, sizeof(KillPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) ::abort();
  ::close(fd);
  static auto* const kTap = new KillTap(static_cast<KillPage*>(page), std::strlen(folder));
  observe_disk(folder, kTap);
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

void note_statement(std::string_view sql) {
  if (sql.starts_with("BEGIN")) t_transaction = Phase::index_transaction;
  if (sql.starts_with("DELETE FROM pushes WHERE id")) t_transaction = Phase::push_acknowledgement;
  bool evicts = sql.starts_with("UPDATE entries SET state = 1") || sql.starts_with("DELETE FROM entries") ||
                sql.starts_with("DELETE FROM blobs") || contains(sql, "INTO trash");
  if (evicts && t_transaction == Phase::index_transaction) t_transaction = Phase::eviction;
}

}  // namespace

}  // namespace hitfs::testing

extern "C" __attribute__((visibility("default"))) int sqlite3_step(sqlite3_stmt* statement) {
  static auto* const kNext = hitfs::testing::next<int(sqlite3_stmt*)>("sqlite3_step");
  if (const char* sql = sqlite3_sql(statement)) hitfs::testing::note_statement(sql);
  return kNext(statement);
}

// An entry in the key space of run lists is made or looked for.
extern "C" __attribute__((visibility("default"))) int sqlite3_bind_blob64(sqlite3_stmt* statement, int index,
                                                                          const void* data, sqlite3_uint64 size,
                                                                          void (*destroy)(void*)) {
  using Bind = int(sqlite3_stmt*, int, const void*, sqlite3_uint64, void (*)(void*));
  static auto* const kNext = hitfs::testing::next<Bind>("sqlite3_bind_blob64");
  constexpr std::string_view kListSpace = "list";
  const char* sql = sqlite3_sql(statement);
  bool inserts = sql != nullptr && std::string_view(sql).starts_with("INSERT INTO entries");
  if (inserts && size == kListSpace.size() && std::memcmp(data, kListSpace.data(), size) == 0) {
    hitfs::testing::t_transaction = hitfs::testing::Phase::run_list_write;
  }
  return kNext(statement, index, data, size, destroy);
}
