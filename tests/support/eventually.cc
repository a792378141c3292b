#include "tests/support/eventually.h"

#include <thread>

namespace hitfs::testing {

bool eventually(const std::function<bool()>& holds, Milliseconds limit) {
  const auto until = Deadline::after(limit);
  while (!holds()) {
    if (until.passed()) return false;
    std::this_thread::sleep_for(Milliseconds(2));
  }
  return true;
}

}  // namespace hitfs::testing
