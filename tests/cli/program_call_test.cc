#include <gtest/gtest.h>

#include "cli/program.h"
#include "store/base/subprocess.h"

namespace hitfs {
namespace {

ProgramCall shell(const std::string& script) {
  ProgramCall call;
  call.arguments = {"/bin/sh", "-c", script};
  call.environment = environment_without({});
  return call;
}

TEST(ProgramTest, GivesWhatTheProgramSaysAndItsCode) {
  auto call = shell("cat; echo \"$X\"; pwd; echo wrong >&2; exit 3");
  call.environment.emplace_back("X=value");
  call.directory = "/";
  auto end = run_program(call);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(end->output, "value\n/\n");
  EXPECT_EQ(end->errors, "wrong\n");
  EXPECT_EQ(end->exit_code, 3);
  EXPECT_EQ(run_program(shell("kill -KILL $$"))->exit_code, 128 + 9);
}

TEST(ProgramTest, AProgramThatIsNotThereIsNotFound) {
  ProgramCall call;
  call.arguments = {"no-such-program-of-hitfs"};
  EXPECT_EQ(run_program(call).error().code, Code::not_found);
}

TEST(ProgramTest, EndsAtItsLimitWhateverItDoes) {
  for (const char* script : {"sleep 600", "sleep 600 & wait", "exec >/dev/null 2>&1; sleep 600"}) {
    auto call = shell(script);
    call.limit = Milliseconds(200);
    auto end = run_program(call);
    ASSERT_FALSE(end) << script;
    EXPECT_EQ(end.error().code, Code::unavailable);
  }
}

TEST(ProgramTest, PrintsABoundedAmount) {
  auto call = shell("yes");
  call.most_output = 100'000;
  EXPECT_EQ(run_program(call).error().code, Code::unavailable);
}

TEST(ProgramTest, AStopEndsIt) {
  auto call = shell("sleep 600");
  call.limit = std::chrono::minutes(10);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(run_program(call, stop.get_token()));
}

}  // namespace
}  // namespace hitfs
