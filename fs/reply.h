#pragma once

#include <functional>
#include <utility>

namespace hitfs::fs {

// What a system call on the mount can fail with. Richer than Code, because programs tell these apart; errno_for() alone
// knows the numbers.
enum class FsError {
  not_found,
  exists,
  not_empty,
  not_directory,
  is_directory,
  cross_device,  // rename of a committed name: programs then copy
  name_too_long,
  no_space,   // the real disk is full
  read_only,  // the real disk takes no more changes
  denied,
  invalid,
  io,             // bytes that are damaged here, or a bug
  not_supported,  // the kernel stops asking (ENOSYS)
  not_permitted,
  interrupted,
  busy,
  too_large,
};

// The one answer to a request: a value or an FsError, now or later, from any thread, exactly once. Move-only. Dropped
// unanswered it answers `io`, and that is a bug. No lock may be held while answering.
template <typename T>
class Reply {
 public:
  using Done = std::function<void(const T&)>;
  using Failed = std::function<void(FsError)>;

  Reply(Done done, Failed failed) : done_(std::move(done)), failed_(std::move(failed)) {}
  Reply(Reply&& other) noexcept
      : done_(std::exchange(other.done_, nullptr)), failed_(std::exchange(other.failed_, nullptr)) {}
  Reply& operator=(Reply&&) = delete;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  ~Reply() {
    if (failed_) fail(FsError::io);
  }

  void send(const T& value) {
    auto done = std::exchange(done_, nullptr);
    failed_ = nullptr;
    if (done) done(value);
  }
  void fail(FsError error) {
    auto failed = std::exchange(failed_, nullptr);
    done_ = nullptr;
    if (failed) failed(error);
  }

 private:
  Done done_;
  Failed failed_;
};

}  // namespace hitfs::fs
