#include "tests/posix/exerciser.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hitfs::testing {

namespace {

constexpr size_t kLargest = 256 << 10;
constexpr size_t kLongest = 48 << 10;  // of one operation

}  // namespace

FileExerciser::FileExerciser(std::filesystem::path file, uint64_t seed) : file_(std::move(file)), random_(seed) {
  open();
}

bool FileExerciser::fail(const std::string& what) {
  uint64_t operations = 0;
  for (auto count : done_) operations += count;
  if (failure_.empty()) failure_ = what + ", operation " + std::to_string(operations) + " (" + counts() + ")";
  return false;
}

std::string FileExerciser::counts() const {
  static constexpr std::array<const char*, kKinds> kNames = {"read",        "written",        "appended", "truncated",
                                                             "read mapped", "written mapped", "reopened", "synced"};
  std::string text;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    text += (kind == 0 ? "" : ", ") + std::to_string(done_[kind]) + " " + kNames[kind];
  }
  return text;
}

std::string FileExerciser::noise(size_t size) {
  std::string bytes(size, '\0');
  auto byte = static_cast<char>('a' + any(26));
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(byte ^ static_cast<char>(i >> 4));
  return bytes;
}

bool FileExerciser::open() {
  fd_.reset(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  return fd_ || fail(std::string("open: ") + std::strerror(errno));
}

bool FileExerciser::step() {
  auto kind = static_cast<Kind>(any(kKinds));
  // The costly ones are rare.
  if ((kind == kReopen || kind == kSync) && any(8) != 0) kind = kRead;
  if (image_.empty() && (kind == kMapRead || kind == kMapWrite)) kind = kWrite;
  ++done_[kind];
  switch (kind) {
    case kRead: return read();
    case kWrite: return write(any(std::min(image_.size() + kLongest, kLargest)));
    case kAppend: return write(image_.size());
    case kTruncate: return truncate();
    case kMapRead: return map(false);
    case kMapWrite: return map(true);
    case kReopen: return open();
    default: return ::fsync(fd_.get()) == 0 || fail(std::string("fsync: ") + std::strerror(errno));
  }
}

bool FileExerciser::same(size_t offset, const std::string& bytes, const char* what) {
  auto expected = image_.substr(std::min(offset, image_.size()), bytes.size());
  if (expected == bytes) return true;
  size_t at = 0;
  while (at < std::min(expected.size(), bytes.size()) && expected[at] == bytes[at]) ++at;
  return fail(std::string(what) + " at " + std::to_string(offset) + " of " + std::to_string(bytes.size()) +
              " bytes differs from byte " + std::to_string(offset + at) + " on; the size is " +
              std::to_string(image_.size()));
}

bool FileExerciser::read() {
  size_t offset = any(image_.size() + 100);
  std::string bytes(1 + any(kLongest), '\0');
  auto got = ::pread(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (got < 0) return fail(std::string("read: ") + std::strerror(errno));
  size_t expected = offset >= image_.size() ? 0 : std::min(bytes.size(), image_.size() - offset);
  if (static_cast<size_t>(got) != expected) return fail("a read of " + std::to_string(got) + " bytes");
  bytes.resize(expected);
  return same(offset, bytes, "read");
}

bool FileExerciser::write(size_t offset) {
  if (offset >= kLargest) return truncate();
  auto bytes = noise(1 + any(std::min(kLongest, kLargest - offset)));
  auto wrote = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (wrote != static_cast<ssize_t>(bytes.size())) return fail("a write of " + std::to_string(wrote) + " bytes");
  image_.resize(std::max(image_.size(), offset + bytes.size()));
  image_.replace(offset, bytes.size(), bytes);
  return true;
}

bool FileExerciser::truncate() {
  size_t size = any(4) == 0 ? 0 : any(kLargest);
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) < 0)
    return fail(std::string("truncate: ") + std::strerror(errno));
  image_.resize(size);
  struct stat info {};
  bool sized = ::fstat(fd_.get(), &info) == 0 && info.st_size == static_cast<off_t>(size);
  return sized || fail("after a truncation the size is " + std::to_string(info.st_size));
}

bool FileExerciser::map(bool writes) {
  void* map = ::mmap(nullptr, image_.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (map == MAP_FAILED) return fail(std::string("mmap: ") + std::strerror(errno));
  size_t offset = any(image_.size());
  size_t size = 1 + any(std::min(kLongest, image_.size() - offset));
  auto* begin = static_cast<char*>(map) + offset;
  bool good = true;
  if (writes) {
    auto bytes = noise(size);
    std::memcpy(begin, bytes.data(), size);
    image_.replace(offset, size, bytes);
    good = any(4) != 0 || ::msync(map, image_.size(), MS_SYNC) == 0 || fail("msync");
  } else {
    good = same(offset, std::string(begin, size), "a mapping");
  }
  ::munmap(map, image_.size());
  return good;
}

bool FileExerciser::holds() {
  std::string bytes(kLargest + 1, '\0');
  UniqueFd file(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  auto got = ::pread(file.get(), bytes.data(), bytes.size(), 0);
  if (got < 0) return fail(std::string("read of all: ") + std::strerror(errno));
  bytes.resize(static_cast<size_t>(got));
  if (bytes.size() != image_.size()) return fail("the size is " + std::to_string(bytes.size()));
  return same(0, bytes, "read of all");
}

bool FileExerciser::rename(const std::filesystem::path& to) {
  if (::rename(file_.c_str(), to.c_str()) < 0) return fail(std::string("rename: ") + std::strerror(errno));
  file_ = to;
  return true;
}

}  // namespace hitfs::testing
