#pragma once

#include <functional>

#include "store/base/clock.h"

namespace hitfs::testing {

// Waits until `holds`, looking again every few milliseconds; false after `limit`. For states of the kernel and of other
// processes that send no event.
bool eventually(const std::function<bool()>& holds, Milliseconds limit = Milliseconds(20'000));

}  // namespace hitfs::testing
