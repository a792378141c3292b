#pragma once

#include <utility>
#include <variant>

#include "fs/reply.h"
#include "store/base/result.h"

namespace hitfs::fs {

// What a request will be answered with: a value or an FsError.
template <typename T>
class [[nodiscard]] Answer {
 public:
  Answer(T value) : state_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Answer(FsError error) : state_(error) {}       // NOLINT(google-explicit-constructor)

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() { return std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  [[nodiscard]] FsError error() const { return std::get<1>(state_); }

  void give(Reply<T> reply) const {
    if (state_.index() == 0) return reply.send(std::get<0>(state_));
    reply.fail(std::get<1>(state_));
  }

 private:
  std::variant<T, FsError> state_;
};

// A failed step on the local disk, as the program sees it.
[[nodiscard]] inline FsError disk_error(const Error& error) {
  if (error.code == Code::no_space) return FsError::no_space;
  return error.code == Code::permission_denied ? FsError::read_only : FsError::io;
}

}  // namespace hitfs::fs
