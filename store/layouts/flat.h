#pragma once

#include <memory>

#include "store/base/result.h"
#include "store/layout.h"

namespace hitfs {

// Layout `flat`: every name at the top that matches the pattern is an entry (a file or a directory) named by itself,
// every other one is local.
//
// The default pattern takes what tools use as the name of a result: a hash in lower-case hex of 64 to 512 bits, or a
// 64-bit hash in decimal (15 digits and more: shorter ones are as likely a number of something else). Temporary names
// ("<hash>.tmp", "<hash>-backup", ".x") do not match, so they stay local until they are renamed.
inline constexpr const char* kFlatPattern = "[0-9a-f]{16,128}|[0-9]{15,20}";
inline constexpr const char* kFlatSpace = "flat";

Result<std::unique_ptr<Layout>> make_flat_layout(const LayoutOptions& options);

}  // namespace hitfs
