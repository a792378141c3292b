#pragma once

#include <functional>
#include <random>

#include "tests/drills/drill.h"

namespace hitfs::testing {

// Kills of a front (a mount worker, the listener) under load. The supervisor gives up a front that ended more than five
// times within a minute, so that kills come in rounds, each with a front that is new.
class FrontKills : public Drill {
 protected:
  static constexpr int kKillsInRound = 5;

  // HITFS_DRILL_KILLS, else 1,000 with HITFS_DRILL_LONG=1, else `short_form`.
  static int wanted_kills(int short_form);

  // What the supervisor says of itself and its processes, asked for at its socket: without a program that starts.
  Json supervisor();

  // A front as the supervisor describes it: {state, pid, restarts}.
  using Front = std::function<Json(const Json& supervisor)>;
  // The process of the front, when it is another one than the last that was killed; also one that starts.
  pid_t successor(const Front& front);
  // Waits until `progress` counts some more, at random: where the load stands then is chance.
  void let_pass(const std::function<uint64_t()>& progress, unsigned most);
  // Waits until the front is ready again.
  void wait_ready(const Front& front);

  // The lines of supervisor.log that are more than information, for the message of a failure.
  std::string warnings();

  std::mt19937 random_{20261121};
  pid_t killed_ = 0;
};

}  // namespace hitfs::testing
