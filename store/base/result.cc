#include "store/base/result.h"

#include <cerrno>
#include <system_error>

namespace hitfs {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::not_found: return "not_found";
    case Code::invalid_argument: return "invalid_argument";
    case Code::permission_denied: return "permission_denied";
    case Code::unavailable: return "unavailable";
    case Code::no_space: return "no_space";
    case Code::corrupt: return "corrupt";
    case Code::internal: return "internal";
  }
  return "unknown";
}

namespace {

Code code_for(int errno_value) {
  switch (errno_value) {
    case ENOENT: return Code::not_found;
    case EACCES:
    case EPERM:
    case EROFS: return Code::permission_denied;
    case ENOSPC:
    case EDQUOT: return Code::no_space;
    case ECONNREFUSED:
    case ETIMEDOUT: return Code::unavailable;
    default: return Code::internal;
  }
}

}  // namespace

Error system_error(std::string_view doing, int errno_value) {
  return {code_for(errno_value), std::string(doing) + ": " + std::generic_category().message(errno_value)};
}

}  // namespace hitfs
