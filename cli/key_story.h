#pragma once

#include <string>

#include "cli/output.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/daemon_client.h"

// What happened to a key on this machine, as `hitfs why` tells it.
namespace hitfs {

// What the daemon knows about a key (Key::text()): {state, history: [{time_ms, kind, detail}]}.
Result<Json> key_story(DaemonClient& daemon, const std::string& key);

// For people: its state in one line, and a line for each thing that happened.
void tell_story(const std::string& key, const Json& story, const Output& output);

}  // namespace hitfs
