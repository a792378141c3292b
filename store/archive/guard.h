#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "store/base/result.h"
#include "store/manifest.h"

// The one guard that every archive passes, in and out: archives come from strangers, and what we write must pass the
// guards of others. The rules are listed in store/README.md, section Archive guard.
namespace hitfs {

// Sizes in bytes. The defaults are far above what build outputs need; a project that needs more says so in its
// configuration.
struct GuardLimits {
  uint64_t artifact_bytes = 8ull << 30;
  uint64_t unpacked_bytes = 16ull << 30;  // of the inflated stream, headers and padding included
  uint64_t members = 1'000'000;           // directories that are only implied count too
  uint64_t name_bytes = 64ull << 20;      // of all names and link targets together: bounds the memory of an unpack
  uint32_t depth = 128;                   // names in a path
  uint32_t ratio = 200;                   // unpacked / artifact, looked at only beyond `ratio_from` unpacked bytes
  uint64_t ratio_from = 1ull << 30;
  uint64_t terminal_output_bytes = 64ull << 20;
};

// Who unpacks exactly these bytes: only hitfs (on Linux), or the build tools of other people too, on any system and
// with weaker checks than ours. The second adds rules: what one of them would read differently is refused.
enum class ArchiveReaders { hitfs_only, other_programs };

// One archive member as a reader found it or a writer is about to write it.
struct ArchiveMember {
  FileType type = FileType::file;
  std::string_view path;
  std::string_view target;  // of a symlink
  uint16_t mode = 0;
};

// Watches one archive from its first to its last member. Every refusal is `corrupt` and names the rule and the member,
// percent-encoded. One owner, not thread-safe.
class Guard {
 public:
  Guard(const GuardLimits& limits, ArchiveReaders readers) : limits_(limits), readers_(readers) {}

  // Checks a member against those before it and remembers it. Gives its canonical path: no leading "./", no slash at
  // the end.
  Result<std::string> admit(const ArchiveMember& member);
  // Call with the running totals of a stream after each piece: compressed bytes and inflated bytes.
  Status admit_bytes(uint64_t artifact_bytes, uint64_t unpacked_bytes) const;

  [[nodiscard]] const GuardLimits& limits() const { return limits_; }
  [[nodiscard]] ArchiveReaders readers() const { return readers_; }

  // Permissions that may come out of an archive or go into one: no setuid, setgid or sticky bit.
  [[nodiscard]] static constexpr uint16_t safe_mode(uint16_t mode) { return mode & 0777; }

 private:
  Result<std::string> canonical_path(const ArchiveMember& member) const;
  Status check_target(const ArchiveMember& member, const std::string& path) const;
  Status check_mode(const ArchiveMember& member) const;
  Status place(const ArchiveMember& member, const std::string& path);
  Result<uint32_t> enter(const ArchiveMember& member, uint32_t directory, std::string_view name);
  Result<uint32_t> add(const ArchiveMember& member, uint32_t directory, std::string_view name, FileType type);

  struct Place {
    uint32_t directory;
    std::string name;
    bool operator==(const Place&) const = default;
  };
  struct PlaceHash {
    size_t operator()(const Place& place) const {
      return std::hash<std::string>{}(place.name) * 1000003u ^ place.directory;
    }
  };
  struct Node {
    uint32_t number;
    FileType type;
  };

  GuardLimits limits_;
  ArchiveReaders readers_;
  std::unordered_map<Place, Node, PlaceHash> nodes_;  // the entry itself is number 0 and not in here
  uint64_t name_bytes_ = 0;
};

// A member's path for messages: percent-encoded between the slashes, cut when very long.
[[nodiscard]] std::string printable_path(std::string_view path);

}  // namespace hitfs
