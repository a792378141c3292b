// The listener is killed: the port stays, and who connects meanwhile waits in the backlog.
#include <signal.h>

#include "tests/drills/drill.h"

namespace hitfs::testing {

class KilledListenerTest : public Drill {};

TEST_F(KilledListenerTest, ConnectionsWaitWhileTheListenerIsRestarted) {
  start();
  ASSERT_FALSE(HasFailure());
  ASSERT_EQ(put(nx_name(1), nx_artifact()).status, 200);
  auto supervisor = supervisor_pid(), listener = listener_pid();
  ASSERT_GT(supervisor, 1);
  // With its supervisor stopped the listener stays away for as long as we want.
  ASSERT_EQ(::kill(supervisor, SIGSTOP), 0);
  kill_and_wait(listener);
  std::vector<std::unique_ptr<RawConnection>> waiting;
  for (int i = 0; i < 50; ++i) {
    waiting.push_back(std::make_unique<RawConnection>(port()));
    EXPECT_TRUE(waiting.back()->send("GET /v1/cache/" + nx_name(1) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
                                     authorization() + "\r\n"));
  }
  ASSERT_EQ(::kill(supervisor, SIGCONT), 0);
  for (auto& connection : waiting) EXPECT_EQ(connection->read_reply().body, nx_artifact());
  const auto now = status();
  EXPECT_EQ(now["supervisor"]["listener"]["restarts"].integer_or(0), 1);
  EXPECT_EQ(now["supervisor"]["endpoint"].text_or(""), "http://127.0.0.1:" + std::to_string(port()));
}

}  // namespace hitfs::testing
