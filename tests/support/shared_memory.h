#pragma once

#include <sys/mman.h>

#include <new>
#include <stdexcept>

namespace hitfs::testing {

// A T that this process shares with those that it forks later: counters, flags. All of T must be fit for that (atomics
// and plain arrays, no pointers).
template <typename T>
class SharedMemory {
 public:
  SharedMemory() : at_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (at_ == MAP_FAILED) throw std::runtime_error("no shared memory");
    shared_ = new (at_) T;
  }
  ~SharedMemory() { ::munmap(at_, sizeof(T)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  T* operator->() const { return shared_; }
  T& operator*() const { return *shared_; }

 private:
  void* at_;
  T* shared_ = nullptr;
};

}  // namespace hitfs::testing
