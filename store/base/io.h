#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "store/base/result.h"
#include "store/base/unique_fd.h"

// The one seam through which the store and the staging area change a disk. Every call names what it is for ("pack",
// "manifest", "names.log", ...), so that a test can stop, fail or count exactly that step (FaultInjector below).
// All calls retry EINTR, open with O_CLOEXEC, and are safe from several threads on different files.
namespace hitfs::io {

enum class Op { create, write, truncate, fsync, rename, link, unlink, mkdir, transaction };

[[nodiscard]] std::string_view to_string(Op op);

// Bytes as written to a file.
using Bytes = std::span<const std::byte>;
[[nodiscard]] inline Bytes as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
[[nodiscard]] inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// For tests only: sees each step before and after it happens. Returning an Error from before() makes the step fail
// without happening; a test may also end the process there. Called from any thread, several at once.
class FaultInjector {
 public:
  struct Step {
    Op op;
    std::string_view what;
    std::string_view path;  // empty for writes to a descriptor and for transactions
    int fd;                 // -1 where there is none
  };
  virtual ~FaultInjector() = default;
  virtual Status before(const Step& step) = 0;
  virtual void after(const Step& step, bool succeeded) = 0;
};

// Installs `injector` (nullptr removes it); it must outlive every call made meanwhile. One branch per step when none
// is.
void install_fault_injector(FaultInjector* injector);

// Runs `body` as one step of `op`: for steps that a library does (a SQLite transaction).
template <typename Body>
Status step(Op op, std::string_view what, Body body);

struct CreateOptions {
  mode_t mode = 0600;
  bool exclusive = true;  // fail when the name exists; else truncate it
};

Result<UniqueFd> create(const std::filesystem::path& path, std::string_view what, CreateOptions options = {});
// For reading only; changes nothing, so no step.
Result<UniqueFd> open_read(const std::filesystem::path& path);
// Opens an existing file for reading and writing.
Result<UniqueFd> open_write(const std::filesystem::path& path);

Status write_all(int fd, Bytes bytes, std::string_view what);
Status write_all_at(int fd, Bytes bytes, uint64_t offset, std::string_view what);
// Reads until `into` is full or the file ends; returns the bytes read.
Result<size_t> read_at(int fd, std::span<std::byte> into, uint64_t offset);
Result<std::string> read_file(const std::filesystem::path& path, size_t at_most);

Status truncate(int fd, uint64_t size, std::string_view what);
Status sync_data(int fd, std::string_view what);                                  // fdatasync
Status sync_directory(const std::filesystem::path& path, std::string_view what);  // fsync of a directory
Status sync_filesystem(int fd, std::string_view what);                            // syncfs

Status rename(const std::filesystem::path& from, const std::filesystem::path& to, std::string_view what);
Status link(const std::filesystem::path& from, const std::filesystem::path& to, std::string_view what);
// `not_found` when there is no such name.
Status unlink(const std::filesystem::path& path, std::string_view what);
// Missing parents are made too; an existing directory is fine.
Status make_directories(const std::filesystem::path& path, mode_t mode, std::string_view what);
// Removes a whole tree without following links; a missing one is fine.
Status remove_tree(const std::filesystem::path& path, std::string_view what);

// Writes `bytes` beside `path`, syncs, renames over it and syncs the directory: old or new, never part.
Status replace_file(const std::filesystem::path& path, Bytes bytes, std::string_view what, mode_t mode = 0600);

// --- only templates below ---

namespace detail {
Status before(const FaultInjector::Step& step);
void after(const FaultInjector::Step& step, bool succeeded);
}  // namespace detail

template <typename Body>
Status step(Op op, std::string_view what, Body body) {
  FaultInjector::Step here{op, what, {}, -1};
  if (auto allowed = detail::before(here); !allowed) return allowed;
  Status done = body();
  detail::after(here, done.has_value());
  return done;
}

}  // namespace hitfs::io
