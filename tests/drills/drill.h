#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/json.h"
#include "store/store_paths.h"
#include "tests/support/hitfs_program.h"
#include "tests/support/memory_nx_server.h"
#include "tests/support/process.h"
#include "tests/support/raw_http.h"
#include "tests/support/temp_dir.h"

namespace hitfs::testing {

// One machine with a store of its own and the real hitfs: supervisor, daemon, listener and mount workers. Whatever a
// test does to it, at the end every process and every mount is gone; should the test itself be killed, too.
class Drill : public ::testing::Test {
 protected:
  Drill();
  ~Drill() override;

  // `hitfs VERB --store STORE WORDS...`, to its end.
  Outcome hitfs(const std::string& verb, std::vector<std::string> words = {});
  // The same as a command that can be changed or run in the background.
  Command hitfs_command(const std::string& verb, std::vector<std::string> words = {});

  // `hitfs start FLAGS...`: from then on the endpoint can be asked.
  void start(const std::vector<std::string>& flags = {});
  // `hitfs mount FOLDER/NAME FLAGS...`; gives the place.
  std::filesystem::path mount(const std::string& name, const std::vector<std::string>& flags = {});

  [[nodiscard]] RawReply get(const std::string& name) const { return ask("GET", name); }
  [[nodiscard]] RawReply put(const std::string& name, std::string_view body) const { return ask("PUT", name, body); }
  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string authorization() const { return "Authorization: Bearer " + token_ + "\r\n"; }

  // `hitfs status --json`, and what its processes are.
  Json status();
  pid_t daemon_pid() { return pid_in(status()["supervisor"]["daemon"]); }
  pid_t listener_pid() { return pid_in(status()["supervisor"]["listener"]); }
  pid_t supervisor_pid() { return pid_in(status()["supervisor"]); }
  // Of the mount at this place.
  pid_t worker_pid(const std::filesystem::path& place);
  static pid_t pid_in(const Json& process) { return static_cast<pid_t>(process["pid"].integer_or(0)); }
  // What `hitfs why NAME` tells.
  std::string why(const std::string& name) { return hitfs("why", {name}).output; }

  // SIGKILL, and waits until the kernel has taken everything away from it.
  static void kill_and_wait(pid_t pid);

  // From now on `hitfs` belongs to this user, who gets everything below the folder.
  void become(uid_t user);

  TempDir folder_;
  Enclosure enclosure_{folder_.path()};
  StorePaths store_{folder_ / "store"};

 private:
  [[nodiscard]] RawReply ask(std::string_view method, const std::string& name, std::string_view body = "") const;

  void guard();

  std::vector<std::string> as_user_;  // what stands before each command
  int port_ = 0;
  std::string token_;
  UniqueFd alive_;  // closed by the test's end, however it ends
};

// What a look at `path` ends with: 0, or the errno. In a process of its own: a look that hangs fails the test instead
// of hanging it (ETIMEDOUT).
[[nodiscard]] int look(const std::filesystem::path& path);

// The bytes of a file; nothing when it cannot be read.
std::optional<std::string> read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::string_view bytes);
// As a build does: beside, then renamed into place.
void save(const std::filesystem::path& place, std::string_view bytes);

// Bytes that do not compress and that tell which file they belong to.
[[nodiscard]] std::string noise(size_t size, unsigned seed);
// An artifact as nx uploads it, and one that any other tool may have put there (a format of tomorrow).
[[nodiscard]] std::string nx_artifact();
[[nodiscard]] std::string opaque_artifact(size_t size, unsigned seed);

// Names of entries: the `number`th for the endpoint, and for a mount.
[[nodiscard]] std::string nx_name(int number);
[[nodiscard]] std::string flat_name(int number);

// Puts an entry onto a server as another machine would have: `space` is "nx" or "flat".
void seed(MemoryNxServer& server, const std::string& space, const std::string& name, std::string_view bytes);

}  // namespace hitfs::testing
