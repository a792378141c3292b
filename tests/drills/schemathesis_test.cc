// schemathesis makes requests from a description of the endpoint, good and bad ones, and looks at each answer.
#include <fstream>
#include <regex>

#include "tests/drills/drill.h"
#include "tests/support/tools.h"

namespace hitfs::testing {

namespace {

constexpr Milliseconds kLimit{240'000};

int requests_in(const std::string& output) {
  std::smatch found;
  return std::regex_search(output, found, std::regex("([0-9]+) generated")) ? std::stoi(found[1]) : 0;
}

}  // namespace

class SchemathesisTest : public Drill {};

TEST_F(SchemathesisTest, FindsNothingThatTheEndpointDoesNotPromise) {
  auto tool = find_tool("schemathesis/bin/schemathesis", "HITFS_TEST_SCHEMATHESIS");
  HITFS_NEEDS(tool, "schemathesis", "scripts/test-tools.sh");
  start();
  ASSERT_FALSE(HasFailure());
  ASSERT_EQ(put(nx_name(1), nx_artifact()).status, 200);
  const auto listener = listener_pid(), daemon = daemon_pid();

  // The token stays out of the command line, as everywhere.
  std::ofstream(folder_ / "schemathesis.toml") << "[headers]\nAuthorization = \"Bearer ${HITFS_TEST_TOKEN}\"\n";
  const bool is_long = std::getenv("HITFS_DRILL_LONG") != nullptr;
  Command command{{tool->string(), "--config-file", folder_ / "schemathesis.toml", "run", HITFS_OPENAPI, "--url",
                   "http://127.0.0.1:" + std::to_string(port()), "--phases", "coverage,fuzzing", "--seed", "1",
                   "--max-examples", is_long ? "5000" : "100", "--checks", "all", "--continue-on-failure",
                   // What is asked for need not be here, and any odd name is simply not here.
                   "--exclude-checks", "positive_data_acceptance,negative_data_rejection", "--no-color"},
                  {{"HITFS_TEST_TOKEN", authorization().substr(22, 64)}},
                  folder_.path()};
  const Outcome asked = run(command, is_long ? 10 * kLimit : kLimit);
  EXPECT_EQ(asked.code, 0) << asked.output;
  EXPECT_GT(requests_in(asked.output), 100) << asked.output;
  std::printf("[ drill    ] requests by schemathesis: %d generated\n", requests_in(asked.output));

  EXPECT_EQ(get(nx_name(1)).body == nx_artifact(), true) << "what was stored before is what is read";
  EXPECT_EQ(listener_pid(), listener);
  EXPECT_EQ(daemon_pid(), daemon);
}

}  // namespace hitfs::testing
