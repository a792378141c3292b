#pragma once

#include <linux/fuse.h>

#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "store/base/unique_fd.h"

namespace hitfs::testing {

// The kernel's side of /dev/fuse as a socket pair: a message per request and per reply. Safe from several threads.
class FakeKernel {
 public:
  struct Answer {
    int error = 0;  // 0 or a negative errno
    std::string bytes;
    template <typename T>
    [[nodiscard]] T as() const {
      T value{};
      std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(T)));
      return value;
    }
  };

  // Numbers its requests after `last_unique`: they never repeat within a connection.
  explicit FakeKernel(uint64_t last_unique = 2);
  ~FakeKernel();  // the server has ended before
  // The connection is gone, as after an unmount: the server reads no more.
  void cut();

  [[nodiscard]] int device() const { return server_end_.get(); }

  // Sends a request; gives its unique.
  uint64_t ask(uint32_t opcode, uint64_t number, const std::string& arguments);
  void ask_as(uint64_t unique, uint32_t opcode, uint64_t number, const std::string& arguments) const;
  // These bytes, whatever they are.
  void send(const std::string& message) const;
  // The answer; nothing after ten seconds.
  std::optional<Answer> answer(uint64_t unique);
  Answer call(uint32_t opcode, uint64_t number, const std::string& arguments);
  // How often a unique was answered.
  int answers(uint64_t unique);

  // INIT as Linux 6.1 sends it.
  uint64_t send_init(uint32_t flags);
  static std::string request(uint64_t unique, uint32_t opcode, uint64_t number, const std::string& arguments);

 private:
  void receive();

  UniqueFd server_end_;
  UniqueFd kernel_end_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t last_unique_;
  std::map<uint64_t, std::vector<Answer>> answers_;
  std::thread receiver_;
};

template <typename T>
std::string raw(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}
inline std::string text(const std::string& value) { return value + '\0'; }

}  // namespace hitfs::testing
