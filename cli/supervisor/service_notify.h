#pragma once

#include <optional>
#include <string_view>

#include "store/base/clock.h"

// The systemd side of a service: one datagram to the socket named in $NOTIFY_SOCKET (sd_notify(3)). Without that
// variable nothing happens.
namespace hitfs {

// "READY=1", "WATCHDOG=1", "STOPPING=1", "FDSTORE=1\nFDNAME=..."; `descriptor` goes with it, unless it is -1.
void notify_service_manager(std::string_view state, int descriptor = -1);

// How often systemd wants to hear WATCHDOG=1 (half of $WATCHDOG_USEC), when it is meant for this process.
[[nodiscard]] std::optional<Milliseconds> service_watchdog_interval();

}  // namespace hitfs
