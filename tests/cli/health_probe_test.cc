#include "cli/supervisor/health_probe.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "store/base/socket.h"
#include "tests/support/eventually.h"
#include "tests/support/process.h"
#include "tests/support/raw_http.h"

namespace hitfs {
namespace {

class HealthProbeTest : public ::testing::Test {
 protected:
  // Runs the loop until `holds`; false after 20 s.
  bool run_until(const std::function<bool()>& holds) {
    bool held = false;
    auto until = Deadline::after(Milliseconds(20'000));
    std::function<void()> look = [&] {
      held = holds();
      if (held || until.passed()) return loop_->stop();
      loop_->after(Milliseconds(2), look);
    };
    look();
    if (!held) loop_->run();
    return held;
  }

  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  testing::ListeningSocket listening_ = testing::listen_on_loopback();
  HealthProbe probe_{*loop_, ::getpid(),
                     [this] { return connect_loopback_now(static_cast<uint16_t>(listening_.port)); }};
};

TEST_F(HealthProbeTest, IsSilentUntilThereIsAnAnswer) {
  EXPECT_EQ(probe_.silent_for(), Milliseconds(0));
  probe_.ask();
  EXPECT_TRUE(run_until([&] { return probe_.silent_for() >= Milliseconds(50); }));
  probe_.ask();  // no second question
  EXPECT_GE(probe_.silent_for(), Milliseconds(50));
  UniqueFd process(::accept(listening_.fd.get(), nullptr, nullptr));
  char head[256];
  EXPECT_GT(::recv(process.get(), head, sizeof(head), 0), 0);
  EXPECT_EQ(::send(process.get(), "HTTP", 4, 0), 4);
  EXPECT_TRUE(testing::eventually([&] { return probe_.silent_for() == Milliseconds(0); })) << "before the loop sees it";
  EXPECT_TRUE(run_until([&] { return ::recv(process.get(), head, sizeof(head), MSG_DONTWAIT) == 0; }))
      << "the question is over";
  probe_.ask();
  EXPECT_TRUE(run_until([&] { return probe_.silent_for() > Milliseconds(0); })) << "the next one";
}

TEST_F(HealthProbeTest, TellsWorkFromRest) {
  probe_.ask();
  EXPECT_TRUE(run_until([&] { return probe_.silent_for() >= Milliseconds(50) && probe_.works(); })) << "it looks often";
  testing::Process sleeper({{"/bin/sleep", "1000"}, {}, {}});
  HealthProbe of_sleeper(*loop_, sleeper.pid(),
                         [this] { return connect_loopback_now(static_cast<uint16_t>(listening_.port)); });
  of_sleeper.ask();
  EXPECT_TRUE(run_until([&] { return of_sleeper.silent_for() >= Milliseconds(500); }));
  EXPECT_FALSE(of_sleeper.works());
}

TEST_F(HealthProbeTest, NobodyWhoListensIsNoSilence) {
  listening_.fd.reset();
  probe_.ask();
  EXPECT_EQ(probe_.silent_for(), Milliseconds(0));
}

}  // namespace
}  // namespace hitfs
