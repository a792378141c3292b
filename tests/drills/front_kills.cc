#include "tests/drills/front_kills.h"

#include <cstdlib>
#include <sstream>

#include "cli/supervisor/control_client.h"
#include "tests/support/eventually.h"

namespace hitfs::testing {

namespace {

constexpr Milliseconds kLimit{60'000};
constexpr int kLongForm = 1000;

}  // namespace

int FrontKills::wanted_kills(int short_form) {
  if (const char* count = std::getenv("HITFS_DRILL_KILLS")) return std::max(1, std::atoi(count));
  const char* long_form = std::getenv("HITFS_DRILL_LONG");
  return long_form != nullptr && std::string(long_form) == "1" ? kLongForm : short_form;
}

Json FrontKills::supervisor() {
  auto client = ControlClient::connect(store_);
  Json question;
  question["op"] = "status";
  auto said = client ? client->request(question, Deadline::after(kLimit)) : Result<Json>(client.error());
  EXPECT_TRUE(said) << said.error().message;
  return said ? *std::move(said) : Json();
}

pid_t FrontKills::successor(const Front& front) {
  pid_t pid = 0;
  EXPECT_TRUE(eventually(
      [&] {
        const Json now = front(supervisor());
        pid = pid_in(now);
        return pid > 1 && pid != killed_;
      },
      kLimit));
  return pid;
}

void FrontKills::let_pass(const std::function<uint64_t()>& progress, unsigned most) {
  auto until = progress() + random_() % most;
  EXPECT_TRUE(eventually([&] { return progress() >= until; }, kLimit)) << "the load stands still";
}

void FrontKills::wait_ready(const Front& front) {
  EXPECT_TRUE(eventually(
      [&] {
        const Json now = front(supervisor());
        return now["state"].text_or("") == "ready" && pid_in(now) != killed_;
      },
      kLimit));
}

std::string FrontKills::warnings() {
  std::istringstream log(read_file(store_.root / "supervisor.log").value_or(""));
  std::string told;
  for (std::string line; std::getline(log, line);) {
    bool expected = line.find("killed by signal 9") != std::string::npos;
    if (!expected && line.find(" info ") == std::string::npos) told += line + "\n";
  }
  return told;
}

}  // namespace hitfs::testing
