#include "tests/clients/nx_machine.h"

#include <gtest/gtest.h>

#include "tests/support/read_all.h"

namespace hitfs::testing {

NxMachine::NxMachine(std::filesystem::path folder, const TeamServer* server, const std::string& mount_name)
    : folder_(std::move(folder)), root_(folder_ / mount_name), server_(server) {
  std::filesystem::create_directories(folder_);
}

Outcome NxMachine::hitfs(std::vector<std::string> arguments) const {
  return run(configured(std::move(arguments)), kNxMachineLimit);
}

Outcome NxMachine::nx(const NxWorkspace& workspace, const std::vector<std::string>& arguments,
                      const Environment& environment, const std::string& after, const std::string& before) const {
  return run(job(workspace, arguments, environment, after, before), kNxMachineLimit);
}

Command NxMachine::job(const NxWorkspace& workspace, const std::vector<std::string>& arguments,
                       const Environment& environment, const std::string& after, const std::string& before) const {
  Command inner = workspace.nx(arguments);
  inner.environment["CI"] = "true";
  inner.environment["NX_KEY"] = "stand-in";
  inner.environment.erase("NX_CACHE_DIRECTORY");
  for (const auto& [name, value] : environment) inner.environment[name] = value;
  Command command =
      configured({"run", "--mount", root(), "--layout", "nx", "--require", "mount", "--", "sh", "-c",
                  "CACHE=\"$NX_CACHE_DIRECTORY\"; { " + before +
                      "; } && \"$@\"; code=$?; cp \"$CACHE/run.json\" run.json; " + after + "; exit $code",
                  "sh"});
  command.arguments.insert(command.arguments.end(), inner.arguments.begin(), inner.arguments.end());
  command.environment.insert(inner.environment.begin(), inner.environment.end());
  command.environment["HITFS"] = command.arguments.front();
  command.directory = inner.directory;
  return command;
}

Json NxMachine::status() const {
  auto status = Json::parse(hitfs({"status", "--json"}).output);
  return status ? *std::move(status) : Json();
}

void NxMachine::pull(const std::vector<std::string>& hashes) const {
  for (const auto& hash : hashes) {
    const Outcome got = hitfs({"get", "--namespace", "nx", hash, folder_ / ("got-" + hash)});
    ASSERT_EQ(got.code, 0) << got.output;
  }
}

Command NxMachine::configured(std::vector<std::string> arguments) const {
  Command command = testing::hitfs(std::move(arguments), folder_);
  command.environment["HITFS_STORE"] = store();
  if (server_ != nullptr) {
    command.environment["HITFS_REMOTE"] = "nx+" + server_->url();
    command.environment["HITFS_TOKEN"] = server_->token();
  }
  command.environment["HITFS_FLUSH"] = command.environment["HITFS_FLUSH_CI"] = "60s";
  for (const auto& [name, value] : settings_) command.environment[name] = value;
  return command;
}

std::vector<std::string> hashes_of(const NxWorkspace& workspace) {
  std::vector<std::string> hashes;
  const auto run = Json::parse(read_all(workspace.folder() / "run.json"));
  if (!run) return hashes;
  for (const auto& task : (*run)["tasks"].items()) hashes.push_back(task["hash"].text_or(""));
  return hashes;
}

}  // namespace hitfs::testing
