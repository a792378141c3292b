// What a mount tells the daemon, and when.
#include "fs/daemon_link.h"

#include <gtest/gtest.h>

#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

constexpr Milliseconds kLong{20'000};
constexpr Milliseconds kMoment{100};

class DaemonLinkTest : public ::testing::Test {
 protected:
  ~DaemonLinkTest() override {
    mount_.daemon.hold_uses(false);
    mount_.daemon.interrupt();
  }
  void use(const std::string& name) {
    mount_.store.commit(MountHarness::key(name), testing::TreeText{{"", "bytes"}});
    ASSERT_TRUE(mount_.lookup(kRootNumber, name));
  }
  static DaemonEvent report_wanted() {
    DaemonEvent event;
    event.kind = DaemonEvent::Kind::report;
    return event;
  }

  MountHarness mount_;
};

TEST_F(DaemonLinkTest, TheNextQuestionForEventsSaysThatTheReportIsDone) {
  DaemonLink link("test", mount_.daemon, mount_.fs());
  ASSERT_TRUE(mount_.daemon.wait_for_polls(1, kLong));
  mount_.daemon.hold_uses(true);
  use("00a1");
  // One thread reports it by itself, and is not done when the daemon asks.
  ASSERT_TRUE(mount_.daemon.wait_for_uses(1, kLong));
  mount_.daemon.say(report_wanted());
  EXPECT_FALSE(mount_.daemon.wait_for_polls(2, kMoment));
  mount_.daemon.hold_uses(false);
  ASSERT_TRUE(mount_.daemon.wait_for_polls(2, kLong));
  EXPECT_EQ(mount_.daemon.uses_told(), std::vector<Key>{MountHarness::key("00a1")});
  mount_.daemon.interrupt();
}

TEST_F(DaemonLinkTest, AReportThatIsNotTakenEndsAtItsDeadline) {
  DaemonLink link("test", mount_.daemon, mount_.fs());
  mount_.daemon.hold_uses(true);
  use("00a2");
  ASSERT_TRUE(mount_.daemon.wait_for_uses(1, kLong));
  link.report(Deadline::after(Milliseconds(1)));
  EXPECT_TRUE(mount_.daemon.uses_told().empty());
  mount_.daemon.hold_uses(false);
  link.report(Deadline::after(kLong));
  EXPECT_EQ(mount_.daemon.uses_told().size(), 1u);
  mount_.daemon.interrupt();
}

TEST_F(DaemonLinkTest, AMountThatEndsReportsAndSaysSo) {
  DaemonLink link("test", mount_.daemon, mount_.fs());
  ASSERT_TRUE(mount_.daemon.wait_for_polls(1, kLong));
  use("00a3");
  link.leave(Deadline::after(kLong));
  EXPECT_EQ(mount_.daemon.uses_told(), std::vector<Key>{MountHarness::key("00a3")});
  EXPECT_EQ(mount_.daemon.calls(), std::vector<std::string>{R"(POST /v1/left {"front":"test"})"});
  mount_.daemon.interrupt();
}

}  // namespace
}  // namespace hitfs::fs
