#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/manifest.h"

namespace hitfs::testing {

enum class Act {
  create,
  make_directory,
  make_symlink,
  write,  // at an offset; also to what is open
  append,
  truncate,
  set_mode,
  set_time,
  unlink,
  remove_directory,
  rename,
  list,
  look,  // attributes and contents
  sync_file,
  sync_root,
  // Of a file that stays open, in one of a few slots, whatever becomes of its name.
  open,
  close,
  write_open,
  truncate_open,
  look_open,
  // What happens around the mount.
  restart,  // the worker dies, the next one goes on
  remount,  // unmounted and mounted again
  daemon_away,
  daemon_back,
  settle,   // what was completed is an entry of the store now
  evict,    // the entry leaves the store
  arrive,   // an entry comes from elsewhere
  release,  // what is retired and not in use is freed
  pass_time,
};

enum class RenameHow { replace, no_replace, exchange };

// One step, with everything that it needs: a sequence of them means the same whatever was left out of it before, so it
// can be repeated and made shorter.
struct Operation {
  Act act = Act::look;
  std::string path{};  // below the root, "" for the root itself
  std::string to{};    // of a rename
  uint64_t offset = 0;
  uint64_t size = 0;
  char byte = 'x';
  uint16_t mode = 0644;
  int64_t time_ns = 0;
  size_t slot = 0;
  RenameHow how = RenameHow::replace;
  bool again = false;  // the reply is lost with its worker, and the request comes again

  [[nodiscard]] std::string bytes() const { return std::string(size, byte); }
  [[nodiscard]] std::string text() const;  // for people
};

constexpr size_t kSlots = 6;
constexpr const char* kLinkTarget = "leads-nowhere";

// What a program sees of a step.
struct Seen {
  int error = 0;  // errno, or 0
  FileType type = FileType::file;
  std::optional<uint16_t> mode{};     // not compared where one side does not say
  std::optional<int64_t> mtime_ns{};  // the same
  std::string bytes{};                // contents or target
  std::vector<std::string> names{};   // sorted

  static Seen failed(int error) {
    Seen seen;
    seen.error = error;
    return seen;
  }
};

// "" when they agree.
[[nodiscard]] std::string difference(const Seen& expected, const Seen& seen);

// Something that the steps can be done to.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual Seen apply(const Operation& operation) = 0;
};

}  // namespace hitfs::testing
