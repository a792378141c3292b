#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "store/base/io.h"
#include "store/base/subprocess.h"
#include "tests/support/temp_dir.h"

namespace hitfs::testing {

// A program that a test started: its output goes to files, and it is killed and reaped whatever happens.
class Running {
 public:
  Running(const std::vector<std::string>& words, const std::map<std::string, std::string>& variables,
          bool own_group = false) {
    UniqueFd out(::open((folder_ / "out").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    UniqueFd error(::open((folder_ / "error").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    SpawnOptions options;
    options.arguments = words;
    std::vector<std::string> dropped{"CI", "GITHUB_ENV", "HITFS_ENDPOINT"};
    for (const auto& [name, value] : variables) dropped.push_back(name);
    options.environment = environment_without(dropped);
    for (const auto& [name, value] : variables) options.environment.push_back(name + "=" + value);
    options.standard[0] = -1;
    options.standard[1] = out.get();
    options.standard[2] = error.get();
    options.new_group = own_group;
    options.die_with_parent = true;
    if (auto started = spawn(options)) pid_ = *started;
  }
  ~Running() {
    if (pid_ > 0 && !ended_) {
      ::kill(pid_, SIGKILL);
      wait();
    }
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // 0 to 255, or minus the signal.
  int wait() {
    int status = 0;
    while (!ended_ && ::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    if (!ended_) code_ = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    ended_ = true;
    return code_;
  }
  [[nodiscard]] std::string out() const { return io::read_file(folder_ / "out", 1 << 20).value(); }
  [[nodiscard]] std::string error() const { return io::read_file(folder_ / "error", 1 << 20).value(); }

 private:
  TempDir folder_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int code_ = 0;
};

}  // namespace hitfs::testing
