// The daemon is killed: builds go on with what is here, and nothing that was acknowledged is lost.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "store/upkeep/store_lock.h"
#include "tests/drills/drill.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

using Clock = std::chrono::steady_clock;

// So many misses with a time limit of any kind (250 ms the shortest) would take longer than this.
constexpr int kMisses = 20;
constexpr Milliseconds kInstantly{4000};
// The last try of a supervisor that found the store in use may be a while ago.
constexpr Milliseconds kBack{60'000};

Milliseconds since(Clock::time_point begin) { return std::chrono::duration_cast<Milliseconds>(Clock::now() - begin); }

int sync_folder(const std::filesystem::path& place) {
  UniqueFd folder(::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return folder && ::fsync(folder.get()) == 0 ? 0 : errno;
}

}  // namespace

class KilledDaemonTest : public Drill {
 protected:
  void begin() {
    start({"--remote", server_.url()});
    place_ = mount("m");
  }

  void kill_daemon() { kill_and_wait(killed_ = running_daemon()); }
  // The daemon when it serves, not the one that was killed before.
  pid_t running_daemon() {
    pid_t pid = 0;
    EXPECT_TRUE(eventually(
        [&] {
          const auto daemon = status()["supervisor"]["daemon"];
          pid = pid_in(daemon);
          return daemon["state"].text_or("") == "ready" && pid != killed_;
        },
        kBack));
    return pid;
  }

  // Kills the daemon and becomes the owner of its lock, so that every successor ends at once; back it comes when the
  // descriptor is closed.
  UniqueFd take_daemon_away() {
    for (int i = 0; i < 10; ++i) {
      kill_daemon();
      if (auto lock = lock_store(store_)) return std::move(*lock);
    }
    ADD_FAILURE() << "the daemon comes back too quickly";
    return {};
  }

  MemoryNxServer server_;
  std::filesystem::path place_;
  pid_t killed_ = 0;
};

TEST_F(KilledDaemonTest, WithoutDaemonHitsGoOnAndUnknownNamesAreInstantMisses) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  begin();
  ASSERT_FALSE(HasFailure());
  save(place_ / flat_name(1), "saved here");
  ASSERT_EQ(sync_folder(place_), 0);
  ASSERT_EQ(put(nx_name(1), nx_artifact()).status, 200);
  write_file(folder_ / "file", "put here");
  ASSERT_EQ(hitfs("put", {flat_name(2), (folder_ / "file").string()}).code, 0);
  ASSERT_EQ(hitfs("flush").code, 0);
  seed(server_, "nx", nx_name(3), nx_artifact());
  seed(server_, "flat", flat_name(3), "elsewhere");

  auto away = take_daemon_away();
  ASSERT_FALSE(HasFailure());
  auto begin = Clock::now();
  EXPECT_EQ(read_file(place_ / flat_name(1)), "saved here");
  EXPECT_EQ(read_file(place_ / flat_name(2)), "put here");
  EXPECT_EQ(get(nx_name(1)).body, nx_artifact());
  EXPECT_EQ(get(nx_name(3)).status, 404);
  for (int i = 3; i < 3 + kMisses; ++i) EXPECT_EQ(look(place_ / flat_name(i)), ENOENT);
  EXPECT_LT(since(begin).count(), kInstantly.count());
  // What is saved now waits in the mount; what cannot be kept is refused.
  save(place_ / flat_name(30), "saved without daemon");
  EXPECT_EQ(read_file(place_ / flat_name(30)), "saved without daemon");
  EXPECT_EQ(put(nx_name(30), nx_artifact()).status, 403);

  auto on_server = server_.size();
  away.reset();
  EXPECT_TRUE(eventually([&] { return get(nx_name(3)).status == 200; }, kBack));
  EXPECT_TRUE(eventually([&] { return read_file(place_ / flat_name(3)) == "elsewhere"; }));
  EXPECT_TRUE(eventually([&] { return server_.size() == on_server + 1; })) << "what was saved without daemon is pushed";
}

TEST_F(KilledDaemonTest, NothingAcknowledgedIsLostWithTheDaemon) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  begin();
  ASSERT_FALSE(HasFailure());
  constexpr int kRounds = 3;
  for (int i = 0; i < kRounds; ++i) {
    running_daemon();
    ASSERT_EQ(put(nx_name(i), nx_artifact()).status, 200);
    kill_daemon();
    EXPECT_EQ(get(nx_name(i)).body, nx_artifact());
    running_daemon();
    save(place_ / flat_name(i), "round " + std::to_string(i));
    ASSERT_EQ(sync_folder(place_), 0);
    kill_daemon();
    EXPECT_EQ(read_file(place_ / flat_name(i)), "round " + std::to_string(i));
  }
  EXPECT_TRUE(eventually([&] { return server_.size() == 2 * kRounds; }, kBack)) << server_.size();
  auto unmounted = hitfs("unmount", {place_.string()});
  EXPECT_EQ(unmounted.code, 0) << unmounted.output;
  auto verified = hitfs("verify");
  EXPECT_EQ(verified.code, 0) << verified.output;
  for (int i = 0; i < kRounds; ++i) {
    EXPECT_EQ(get(nx_name(i)).body, nx_artifact());
    auto got = hitfs("get", {flat_name(i), (folder_ / flat_name(i)).string()});
    EXPECT_EQ(got.code, 0) << got.output;
    EXPECT_EQ(read_file(folder_ / flat_name(i)), "round " + std::to_string(i));
  }
}

}  // namespace hitfs::testing
