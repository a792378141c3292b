#include "tests/support/fake_kernel.h"

#include <sys/socket.h>

#include <chrono>
#include <stdexcept>

namespace hitfs::testing {

FakeKernel::FakeKernel(uint64_t last_unique) : last_unique_(last_unique) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) throw std::runtime_error("socketpair");
  server_end_.reset(ends[0]);
  kernel_end_.reset(ends[1]);
  receiver_ = std::thread([this] { receive(); });
}

FakeKernel::~FakeKernel() {
  cut();
  receiver_.join();
}

void FakeKernel::cut() { ::shutdown(kernel_end_.get(), SHUT_RDWR); }

void FakeKernel::receive() {
  std::vector<char> message((1 << 20) + 4096);
  for (;;) {
    ssize_t got = ::recv(kernel_end_.get(), message.data(), message.size(), 0);
    if (got < static_cast<ssize_t>(sizeof(fuse_out_header))) return;
    fuse_out_header out{};
    std::memcpy(&out, message.data(), sizeof(out));
    Answer answer{out.error, std::string(message.data() + sizeof(out), static_cast<size_t>(got) - sizeof(out))};
    std::lock_guard lock(mutex_);
    answers_[out.unique].push_back(std::move(answer));
    changed_.notify_all();
  }
}

std::string FakeKernel::request(uint64_t unique, uint32_t opcode, uint64_t number, const std::string& arguments) {
  fuse_in_header header{};
  header.len = static_cast<uint32_t>(sizeof(header) + arguments.size());
  header.opcode = opcode;
  header.unique = unique;
  header.nodeid = number;
  return raw(header) + arguments;
}

void FakeKernel::ask_as(uint64_t unique, uint32_t opcode, uint64_t number, const std::string& arguments) const {
  send(request(unique, opcode, number, arguments));
}

void FakeKernel::send(const std::string& message) const {
  if (::send(kernel_end_.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) throw std::runtime_error("send");
}

uint64_t FakeKernel::ask(uint32_t opcode, uint64_t number, const std::string& arguments) {
  uint64_t unique = 0;
  {
    std::lock_guard lock(mutex_);
    unique = last_unique_ += 2;
  }
  ask_as(unique, opcode, number, arguments);
  return unique;
}

std::optional<FakeKernel::Answer> FakeKernel::answer(uint64_t unique) {
  std::unique_lock lock(mutex_);
  auto there = [&] { return answers_.contains(unique); };
  if (!changed_.wait_for(lock, std::chrono::seconds(10), there)) return std::nullopt;
  return answers_[unique].front();
}

FakeKernel::Answer FakeKernel::call(uint32_t opcode, uint64_t number, const std::string& arguments) {
  return answer(ask(opcode, number, arguments)).value_or(Answer{-1, ""});
}

int FakeKernel::answers(uint64_t unique) {
  std::lock_guard lock(mutex_);
  return static_cast<int>(answers_[unique].size());
}

uint64_t FakeKernel::send_init(uint32_t flags) {
  fuse_init_in init{};
  init.major = FUSE_KERNEL_VERSION;
  init.minor = 36;
  init.max_readahead = 131072;
  init.flags = flags;
  return ask(FUSE_INIT, 0, raw(init));
}

}  // namespace hitfs::testing
