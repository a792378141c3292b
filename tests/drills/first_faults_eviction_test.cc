// Eviction of what a program has open.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "tests/drills/drill.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr size_t kMiB = 1 << 20;

// As a program that goes on reading: the kernel may have none of it in memory.
std::string read_uncached(int file, size_t size) {
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  std::string bytes(size, '\0');
  auto got = ::pread(file, bytes.data(), size, 0);
  bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return bytes;
}

class Mapping {
 public:
  Mapping(int file, size_t size) : size_(size), begin_(::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0)) {}
  ~Mapping() {
    if (begin_ != MAP_FAILED) ::munmap(begin_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] bool mapped() const { return begin_ != MAP_FAILED; }
  // Read by the kernel: bytes that are gone make this shorter, where our own look at them would be a SIGBUS.
  [[nodiscard]] std::string bytes() const {
    UniqueFd copy(::memfd_create("copy", MFD_CLOEXEC));
    auto wrote = ::write(copy.get(), begin_, size_);
    std::string bytes(wrote < 0 ? 0 : static_cast<size_t>(wrote), '\0');
    if (::pread(copy.get(), bytes.data(), bytes.size(), 0) != wrote) bytes.clear();
    return bytes;
  }

 private:
  size_t size_;
  void* begin_;
};

}  // namespace

class EvictionTest : public Drill {};

TEST_F(EvictionTest, WhatIsOpenKeepsItsBytesWhileItIsEvicted) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  start({"--max-size", "8MiB"});
  auto place = mount("m");
  ASSERT_FALSE(HasFailure());
  auto bytes = noise(2 * kMiB, 1);
  save(place / flat_name(1), bytes);
  ASSERT_EQ(hitfs("flush").code, 0);
  UniqueFd open(::open((place / flat_name(1)).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(open);
  {
    Mapping mapping(open.get(), bytes.size());
    ASSERT_TRUE(mapping.mapped());
    for (int i = 2; i <= 5; ++i) {
      save(place / flat_name(i), noise(2 * kMiB, static_cast<unsigned>(i)));
      ASSERT_EQ(hitfs("flush").code, 0);
    }
    EXPECT_TRUE(eventually([&] { return look(place / flat_name(1)) == ENOENT; }));
    EXPECT_GE(status()["store"]["retired_entries"].integer_or(0), 1);
    EXPECT_NE(why(flat_name(1)).find("was evicted"), std::string::npos) << why(flat_name(1));
    // The next worker knows nothing of the open file but what the kernel refers to.
    kill_and_wait(worker_pid(place));
    EXPECT_TRUE(mapping.bytes() == bytes);
    EXPECT_TRUE(read_uncached(open.get(), bytes.size()) == bytes);
  }
  open.reset();
  EXPECT_TRUE(read_file(place / flat_name(5)) == noise(2 * kMiB, 5));
  auto unmounted = hitfs("unmount", {place.string()});
  ASSERT_EQ(unmounted.code, 0) << unmounted.output;
  EXPECT_TRUE(eventually([&] { return status()["store"]["retired_entries"].integer_or(-1) == 0; }));
  EXPECT_LE(status()["store"]["bytes"].integer_or(-1), static_cast<int64_t>(8 * kMiB));
  auto verified = hitfs("verify");
  EXPECT_EQ(verified.code, 0) << verified.output;
}

}  // namespace hitfs::testing
