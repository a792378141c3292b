#pragma once

#include <string>

#include "store/base/json.h"

namespace hitfs {

// What a record of the access log ({kind, detail}; kinds of store/access_log.h) says to people: "was pulled: team".
[[nodiscard]] std::string describe_access(const Json& record);

}  // namespace hitfs
