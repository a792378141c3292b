#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/drills/crash/disk_recorder.h"

namespace hitfs::testing {

// What a crash takes away of what was written and not synced.
enum class Loss {
  nothing,         // a process was killed
  all,             // names and bytes since they were last synced; names in the order in which they were made
  bytes,           // names are there, their bytes are not
  bytes_to_zeros,  // names and sizes are there, what was written is zeros
  some_bytes,      // some writes and a part of one, in any order; names up to some moment
  names,           // bytes are there, names only as far as their own folder was synced
  all_unordered    // bytes, and names as with `names`
};
inline constexpr Loss kPowerCuts[] = {Loss::all,        Loss::bytes, Loss::bytes_to_zeros,
                                      Loss::some_bytes, Loss::names, Loss::all_unordered};

[[nodiscard]] const char* to_string(Loss loss);

// A folder, and what of it is certain to be on the disk, played from recorded events. What a sync of a folder makes
// certain: with ordered names (a file system with a journal) every name made before; else only those in this folder.
class DiskImage {
 public:
  // All of `folder` is on the disk.
  explicit DiskImage(const std::filesystem::path& folder);

  void apply(const DiskEvent& event);
  // Replaces `to` by what is found after the crash.
  void write_to(const std::filesystem::path& to, Loss loss, unsigned seed) const;

 private:
  struct Write {
    uint64_t offset = 0;
    std::string bytes;
    bool resizes = false;  // to `offset` bytes
  };
  struct File {
    std::string now, synced;
    std::vector<Write> unsynced;
    mode_t mode = 0600;
  };
  struct Names {
    std::map<std::string, size_t> files;  // below the folder -> which file
    std::map<std::string, mode_t> folders;
  };

  [[nodiscard]] std::string below(const std::string& path) const;
  size_t add_file(uint64_t inode, mode_t mode);
  void create(const DiskCall& call);
  void write(uint64_t inode, Write change);
  void sync_folder(const std::string& name);
  void sync_all();
  void names_changed() { since_sync_.push_back(now_); }
  static void play(std::string& bytes, const Write& write);
  [[nodiscard]] static std::string left_of(const File& file, Loss loss, std::mt19937& random);
  [[nodiscard]] const Names& names_after(Loss loss, std::mt19937& random) const;

  std::string folder_;
  std::vector<File> files_;
  std::map<uint64_t, size_t> by_inode_;
  Names now_;
  Names certain_;                  // without order
  std::vector<Names> since_sync_;  // with order: as of the last sync, and after each change since
};

}  // namespace hitfs::testing
