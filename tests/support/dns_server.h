#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "store/base/unique_fd.h"
#include "tests/support/process.h"

namespace hitfs::testing {

// A name server on a loopback address of its own, port 53 (root only), for one program at a time that is run with
// asking_it(). Whatever name it is asked for, it says what its mood is.
class DnsServer {
 public:
  enum class Mood {
    unknown,   // there is no such name
    silent,    // no answer
    loopback,  // 127.0.0.1
  };
  // `folder` gets the resolv.conf. Throws where the port cannot be had.
  DnsServer(const std::filesystem::path& folder, Mood mood);
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;

  // Whether this process may have one: it is root, and may have mounts of its own.
  [[nodiscard]] static bool possible();

  void become(Mood mood) { mood_ = mood; }
  [[nodiscard]] size_t asked() const { return asked_; }
  // The same command, in a mount namespace where this is the machine's name server. What it starts stays there.
  [[nodiscard]] Command asking_it(Command command) const;

 private:
  void serve();

  std::filesystem::path configuration_;
  std::atomic<Mood> mood_;
  std::atomic<size_t> asked_ = 0;
  UniqueFd socket_, stop_;
  std::jthread thread_;
};

}  // namespace hitfs::testing
