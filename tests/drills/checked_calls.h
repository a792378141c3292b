#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "store/base/unique_fd.h"
#include "tests/drills/call_tally.h"

namespace hitfs::testing {

// System calls of one thread that knows what each must return. Every call is counted in the tally; one that returns
// anything else, or bytes that are not the expected ones, is counted as failed and told, and the function gives false.
class CheckedCalls {
 public:
  using Path = std::filesystem::path;
  explicit CheckedCalls(CallTally& tally) : tally_(tally) {}

  // `must` is what the call ends with: 0 for success, else the errno.
  [[nodiscard]] UniqueFd open(const Path& path, int flags);
  bool open_fails(const Path& path, int must);
  // O_EXCL, for reading and writing.
  [[nodiscard]] UniqueFd create(const Path& path);
  bool create_fails(const Path& path, int must);
  bool write(int file, std::string_view bytes, size_t offset);
  bool truncate(int file, size_t size);
  bool sync(int file);
  bool chmod(const Path& path, unsigned mode);
  bool rename(const Path& from, const Path& to);
  bool unlink(const Path& path);
  bool mkdir(const Path& path, int must = 0);
  bool rmdir(const Path& path, int must = 0);
  bool symlink(const std::string& target, const Path& path);

  bool link_is(const Path& path, const std::string& target);
  bool size_is(const Path& path, size_t size);
  bool missing(const Path& path);
  // A name that may be there or not; nothing else is right.
  enum class Found { yes, no, failed };
  Found look(const Path& path);
  // The names of a folder, each once: all of them, or (for a folder that others use) those beginning with `mine`.
  bool names_are(const Path& folder, const std::set<std::string>& names, const std::string& mine = "");
  // Bytes as the filesystem has them now, not as the kernel remembers them.
  bool bytes_are(int file, const Path& about, std::string_view expected, size_t offset, size_t size);
  bool mapped_bytes_are(int file, const Path& about, std::string_view expected);
  // Opens and reads all of it.
  bool file_is(const Path& path, std::string_view expected);

 private:
  int64_t make(Call kind, const Path& about, int must, const std::function<int64_t()>& call);
  bool fails(Call kind, const Path& about, const std::string& how);
  bool same(Call kind, const Path& about, std::string_view got, std::string_view expected);

  CallTally& tally_;
};

}  // namespace hitfs::testing
