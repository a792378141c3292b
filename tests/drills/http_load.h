#pragma once

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "store/base/guarded.h"
#include "tests/support/raw_http.h"

namespace hitfs::testing {

// Kills as a load must know them, to tell a transfer that a kill cut from one that broke by itself.
struct KillClock {
  std::atomic<int> begun = 0;  // before the signal
  std::atomic<int> done = 0;   // the process is dead
};

struct HttpTally {
  std::atomic<uint64_t> connects = 0, refused = 0;
  std::atomic<uint64_t> hits = 0, misses = 0, stored = 0, already_there = 0;
  std::atomic<uint64_t> bytes_compared = 0, wrong_bytes = 0, wrong_answers = 0;
  std::atomic<uint64_t> cut = 0;          // a connection that was there when a kill came
  std::atomic<uint64_t> cut_by_none = 0;  // one that ended although nothing was killed
  std::atomic<int> running = 0;           // requests that wait for their answer just now
  [[nodiscard]] uint64_t answered() const { return hits + misses + stored + already_there; }
};

// Build tools at the endpoint: threads that read what is there, look for what is not, and store. Every answer is
// checked; what a kill cuts is counted, and asked for again.
class HttpLoad {
 public:
  struct Plan {
    int port = 0;
    std::string authorization;  // a header line
    std::map<std::string, std::string> there;
    int threads = 8;
    unsigned first_thread = 0;  // as MountLoad::Plan
  };
  HttpLoad(Plan plan, const KillClock& kills, HttpTally& tally);
  ~HttpLoad() { finish(); }

  // Ends the threads; then everything that was stored is read once more.
  void finish();
  [[nodiscard]] std::string failure() { return *first_failure_.lock(); }

 private:
  struct Client;
  void work(unsigned thread);
  void step(Client& client);
  // One request; status 0 when it was cut.
  RawReply ask(Client& client, const std::string& head, std::string_view body);
  void get(Client& client, const std::string& name, const std::string& expected);
  void miss(Client& client);
  void store(Client& client);
  void wrong(const std::string& what);

  Plan plan_;
  const KillClock& kills_;
  HttpTally& tally_;
  Guarded<std::string> first_failure_;
  Guarded<std::map<std::string, std::string>> stored_;
  std::atomic<bool> stop_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace hitfs::testing
