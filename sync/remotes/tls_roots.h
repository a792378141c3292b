#pragma once

#include <string>
#include <vector>

#include "store/base/result.h"

namespace hitfs {

// libcurl takes one bundle of roots *instead of* the system's, so further roots are joined to the system's here.
// Returns PEM text, or "" when there is nothing to add and the system's own will do. `required` must be readable and
// hold a certificate (`invalid_argument` names the file); `optional` ("" for none) is only warned about, as Node does.
Result<std::string> joined_roots(const std::string& required, const std::string& optional);

}  // namespace hitfs
