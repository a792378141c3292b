#pragma once

#include <string>
#include <string_view>

namespace hitfs {

// JSON as nx reads it (comments of both kinds, a comma before a closing bracket, a byte order mark) as plain JSON: what
// does not belong is replaced by blanks, so that lines keep their numbers. Text in quotes is left alone. Anything else
// that is wrong stays wrong, for Json::parse() to find.
[[nodiscard]] std::string plain_json(std::string_view text);

}  // namespace hitfs
