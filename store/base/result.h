#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace hitfs {

// What went wrong, in the only distinctions that some caller treats differently.
enum class Code {
  not_found,          // a miss: expected, never logged above `debug`
  invalid_argument,   // the caller, a configuration or a file name is wrong
  permission_denied,  // credentials or rights are missing
  unavailable,        // somebody else does not answer, or time is up; a later try may succeed
  no_space,           // the real disk or a limit is full
  corrupt,            // bytes are not what they claim to be
  internal,           // the rest: a system call failed, or a bug
};

[[nodiscard]] std::string_view to_string(Code code);

// A failure as a value. `message` reads outside in ("upload 1f3a: http put: timed out") and holds no secret.
struct Error {
  Code code;
  std::string message;
};

struct Ok {};

// Either a value or an Error; read like std::expected. Not thread-safe, as any value.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

using Status = Result<Ok>;

[[nodiscard]] inline Error in_context(std::string_view doing, Error error) {
  error.message = std::string(doing) + ": " + error.message;
  return error;
}

// The Error of a failed system call; ENOSPC, EDQUOT, ENOENT, EACCES and EPERM get their own code.
[[nodiscard]] Error system_error(std::string_view doing, int errno_value);

}  // namespace hitfs
