#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/base/json.h"
#include "tests/support/process.h"

// The hitfs that was built, as a program: what users and scripts call. Its store, configuration and home are those of
// the test, never of the machine. The binary is HITFS_TEST_BINARY if set, else the one of this build.
namespace hitfs::testing {

// `hitfs ARGUMENTS`, with `home` as home folder, so that no configuration of the machine is read.
Command hitfs(std::vector<std::string> arguments, const std::filesystem::path& home);

// `command` below `hitfs run --store STORE`, in its directory and with its environment.
Command below_hitfs_run(const std::filesystem::path& store, Command command);

// The last line of an output that is JSON: what `--json` says at the end.
Json last_json(const std::string& output);

// `hitfs stop --store STORE --flush FLUSH`: afterwards the store can be moved. Its code is 1 when uploads are left.
Outcome stop_hitfs(const std::filesystem::path& store, const std::string& flush = "60s");

// A team server, `hitfs serve`, on a free port of loopback with one token that may read and write.
class TeamServer {
 public:
  // Throws with what the server printed when it does not get ready. `environment` goes to the server: HITFS_REMOTE for
  // one that stands in front of another.
  explicit TeamServer(std::filesystem::path folder, const std::map<std::string, std::string>& environment = {});

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] const std::string& token() const { return token_; }
  [[nodiscard]] bool running() const { return process_->running(); }
  // As a power cut: no orderly end. The port stays refused.
  void kill();

 private:
  std::filesystem::path folder_;
  int port_;
  std::string token_;
  std::unique_ptr<Process> process_;
};

}  // namespace hitfs::testing
