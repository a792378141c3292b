#pragma once

#include <cstddef>
#include <span>

namespace hitfs::fs {

// Whether a request is what a kernel sends: libfuse believes every length and looks for the end of every name. Requests
// also come from slots, which a worker may have written over before it died. What we do not implement is not looked at.
[[nodiscard]] bool is_well_formed(std::span<const std::byte> request);

}  // namespace hitfs::fs
