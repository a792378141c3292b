#pragma once

#include "store/base/json.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

// How options reach a process of ours: as JSON in an anonymous file that it inherits by number (--config-fd N). Never
// in its command line or environment, which everybody may read; options hold tokens.
namespace hitfs {

// The file, sealed against changes, at its beginning.
Result<UniqueFd> write_process_config(const Json& options);
// Reads it from its beginning and closes the descriptor; `invalid_argument` when it is not ours.
Result<Json> read_process_config(int descriptor);

}  // namespace hitfs
