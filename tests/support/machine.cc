#include "tests/support/machine.h"

#include <fstream>

#include "tests/support/eventually.h"

namespace hitfs::testing {
namespace {

constexpr Milliseconds kLimit{240000};

}  // namespace

Machine::Machine(std::filesystem::path folder, std::string remote, std::string token)
    : folder_(std::move(folder)),
      store_(folder_ / "store"),
      root_(folder_ / "cache"),
      remote_(std::move(remote)),
      token_(std::move(token)) {
  std::filesystem::create_directories(folder_);
}

Machine::~Machine() { stop_hitfs(store_, "0s"); }

Outcome Machine::hitfs(std::vector<std::string> arguments) const {
  Command command = testing::hitfs(std::move(arguments), folder_);
  command.environment["HITFS_STORE"] = store_;
  if (!remote_.empty()) command.environment["HITFS_REMOTE"] = remote_;
  if (!token_.empty()) command.environment["HITFS_TOKEN"] = token_;
  return run(command, kLimit);
}

Json Machine::status() const {
  auto status = Json::parse(hitfs({"status", "--json"}).output);
  return status ? *std::move(status) : Json();
}

bool Machine::holds(int64_t entries) const {
  return eventually(
      [&] {
        const Json now = status();
        return now["store"]["entries"].integer_or(-1) >= entries;
      },
      kLimit);
}

bool Machine::appears(const std::string& name) const {
  return eventually([&] { return std::filesystem::exists(root_ / name); }, kLimit);
}

uint64_t memory_of(pid_t process, const std::string& what) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(what + ":")) return std::stoull(line.substr(what.size() + 1));
  }
  return 0;
}

}  // namespace hitfs::testing
