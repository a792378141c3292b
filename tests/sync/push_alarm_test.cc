#include "sync/push_alarm.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "store/base/io.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

PushJob job_of(const std::string& name) {
  PushJob job;
  job.key = {"", "flat", name};
  job.remote = "team";
  return job;
}

TEST(PushAlarmTest, TellsTheCommandWhatHappened) {
  testing::TempDir dir;
  auto out = (dir / "out").string();
  auto ran = run_push_alarm("printf '%s %s %s' \"$HITFS_KEY\" \"$HITFS_REMOTE\" \"$HITFS_WHY\" > " + out, job_of("1f"),
                            "413 too large");
  ASSERT_TRUE(ran) << ran.error().message;
  EXPECT_EQ(io::read_file(out, 1000).value(), "flat/1f team 413 too large");
}

TEST(PushAlarmTest, NoTokenReachesTheCommand) {
  testing::TempDir dir;
  auto out = (dir / "out").string();
  ::setenv("HITFS_TOKEN", "secret-of-the-team", 1);
  auto ran = run_push_alarm("env > " + out, job_of("1f"), "x");
  ::unsetenv("HITFS_TOKEN");
  ASSERT_TRUE(ran);
  EXPECT_EQ(io::read_file(out, 100'000).value().find("secret-of-the-team"), std::string::npos);
}

TEST(PushAlarmTest, AFailingCommandIsReported) { EXPECT_FALSE(run_push_alarm("exit 3", job_of("1f"), "x")); }

TEST(PushAlarmTest, HostileTextIsDataForTheShell) {
  testing::TempDir dir;
  auto made = (dir / "made").string();
  auto ran = run_push_alarm("true", job_of("1f"), "$(touch " + made + ")");
  ASSERT_TRUE(ran);
  EXPECT_FALSE(std::filesystem::exists(made));
}

}  // namespace
}  // namespace hitfs
