#include "fs/slots/slots.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hitfs::fs {

namespace {

// A request's length and opcode share the first eight bytes of its header: one store frees a slot, one fills it.
std::atomic_ref<uint64_t> in_use_mark(fuse_in_header& header) {
  return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(&header));
}

Status lay_out(format::Header& header) {
  while (header.connection == 0) {
    if (::getrandom(&header.connection, sizeof(header.connection), 0) < 0 && errno != EINTR) {
      return system_error("number the connection", errno);
    }
  }
  header.version = format::kVersion;
  header.large_slots = format::kLargeSlots;
  header.small_slots = format::kSmallSlots;
  header.large_bytes = format::kLargeBytes;
  header.small_bytes = format::kSmallBytes;
  header.reply_bytes = format::kReplyBytes;
  header.references = format::kReferences;
  header.magic = format::kMagic;
  return Ok{};
}

bool laid_out_by_us(const format::Header& header) {
  return header.magic == format::kMagic && header.version == format::kVersion &&
         header.large_slots == format::kLargeSlots && header.small_slots == format::kSmallSlots &&
         header.large_bytes == format::kLargeBytes && header.small_bytes == format::kSmallBytes &&
         header.reply_bytes == format::kReplyBytes && header.references == format::kReferences;
}

// What was saved of INIT, by a worker that may have gone wild: nothing, or what fits and can be one.
bool init_is_whole(const format::Header& header) {
  constexpr size_t kLeast = sizeof(fuse_in_header) + 4 * sizeof(uint32_t);
  size_t request = header.init_bytes;
  size_t reply = header.init_reply_bytes;
  bool request_fits = request == 0 || (request >= kLeast && request <= header.init.size());
  bool reply_fits = reply == 0 || (reply >= sizeof(fuse_out_header) && reply <= header.init_reply.size());
  return request_fits && reply_fits;
}

}  // namespace

void SlotMemory::Unmap::operator()(std::byte* base) const { ::munmap(base, format::kTotalBytes); }

Result<std::byte*> SlotMemory::map(int fd, Pages pages) {
  void* base = ::mmap(nullptr, format::kTotalBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return system_error("map request slots", errno);
  if (pages == Pages::resident) {
    // Not the references: they stay sparse. A kernel before 5.14 does not know the advice; then touching must do.
    // Locked only where the limit allows it: that guards against swap, which is rare enough to go without.
    if (::madvise(base, format::kReferencesOffset, MADV_POPULATE_WRITE) < 0) {
      for (size_t at = 0; at < format::kReferencesOffset; at += 4096) {
        std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(static_cast<std::byte*>(base) + at)).fetch_or(0);
      }
    }
    ::mlock(base, format::kReferencesOffset);
  }
  return static_cast<std::byte*>(base);
}

Result<SlotMemory> SlotMemory::create() {
  UniqueFd fd(::memfd_create("hitfs-slots", MFD_CLOEXEC));
  if (!fd) return system_error("create request slots", errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(format::kTotalBytes)) < 0) {
    return system_error("size request slots", errno);
  }
  auto base = map(fd.get(), Pages::lazy);
  if (!base) return std::move(base).error();
  SlotMemory memory(std::move(fd), *base);
  if (auto done = lay_out(memory.header()); !done) return std::move(done).error();
  return memory;
}

Result<SlotMemory> SlotMemory::adopt(UniqueFd fd) {
  auto memory = attach(fd.get(), Pages::lazy);
  if (memory) memory->fd_ = std::move(fd);
  return memory;
}

Result<SlotMemory> SlotMemory::attach(int fd, Pages pages) {
  off_t size = ::lseek(fd, 0, SEEK_END);
  if (size < 0) return system_error("attach request slots", errno);
  Error other_version{Code::invalid_argument,
                      "the mount's request slots are of another hitfs version: unmount it and mount it again"};
  if (static_cast<size_t>(size) != format::kTotalBytes) return other_version;
  auto base = map(fd, pages);
  if (!base) return std::move(base).error();
  SlotMemory memory({}, *base);
  if (!laid_out_by_us(memory.header())) return other_version;
  if (!init_is_whole(memory.header())) {
    return Error{Code::corrupt, "the mount's request slots are damaged: unmount it and mount it again"};
  }
  return memory;
}

std::span<format::Reference> SlotMemory::references() const {
  return {reinterpret_cast<format::Reference*>(base() + format::kReferencesOffset), format::kReferences};
}

format::SlotDescriptor& SlotMemory::descriptor(SlotIndex slot) const {
  return reinterpret_cast<format::SlotDescriptor*>(base() + format::kDescriptorsOffset)[slot];
}

std::span<std::byte> SlotMemory::payload(SlotIndex slot) const {
  if (is_large(slot)) return {base() + format::kLargeOffset + slot * format::kLargeBytes, format::kLargeBytes};
  return {base() + format::kSmallOffset + (slot - format::kLargeSlots) * format::kSmallBytes, format::kSmallBytes};
}

fuse_in_header& SlotMemory::request(SlotIndex slot) const {
  return *reinterpret_cast<fuse_in_header*>(payload(slot).data());
}

bool SlotMemory::in_use(SlotIndex slot) const {
  return in_use_mark(request(slot)).load(std::memory_order_acquire) != 0;
}

std::vector<SlotIndex> SlotMemory::slots_in_use() const {
  std::vector<SlotIndex> used;
  for (SlotIndex slot = 0; slot < format::kSlots; ++slot) {
    if (in_use(slot)) used.push_back(slot);
  }
  return used;
}

std::span<std::byte> SlotMemory::request_bytes(SlotIndex slot) const {
  auto all = payload(slot);
  return all.first(std::clamp<size_t>(request(slot).len, sizeof(fuse_in_header), all.size()));
}

void SlotMemory::prepare(SlotIndex slot) {
  clear(slot);
  auto& about = descriptor(slot);
  about.state = format::SlotState::read;
  about.crashes = 0;
  about.deaths = 0;
  about.reply_bytes = 0;
  about.since_ns = 0;
}

void SlotMemory::clear(SlotIndex slot) { in_use_mark(request(slot)).store(0, std::memory_order_release); }

void SlotMemory::move(SlotIndex large, SlotIndex small) {
  prepare(small);
  auto& from = descriptor(large);
  auto& to = descriptor(small);
  to.crashes = from.crashes.load();
  to.deaths = from.deaths.load();
  to.since_ns = from.since_ns.load();
  auto bytes = request_bytes(large);
  std::copy(bytes.begin() + sizeof(uint64_t), bytes.end(), payload(small).begin() + sizeof(uint64_t));
  in_use_mark(request(small)).store(in_use_mark(request(large)).load(), std::memory_order_release);
  clear(large);
}

bool SlotMemory::store_reply(SlotIndex slot, std::span<const std::span<const std::byte>> pieces) {
  auto& about = descriptor(slot);
  size_t size = 0;
  for (auto piece : pieces) size += piece.size();
  if (size > about.reply.size()) return false;
  auto* at = about.reply.data();
  for (auto piece : pieces) at = std::copy(piece.begin(), piece.end(), at);
  about.reply_bytes = static_cast<uint32_t>(size);
  about.state.store(format::SlotState::reply_stored, std::memory_order_release);
  return true;
}

std::span<const std::byte> SlotMemory::stored_reply(SlotIndex slot) const {
  const auto& about = descriptor(slot);
  if (about.state.load(std::memory_order_acquire) != format::SlotState::reply_stored) return {};
  return std::span(about.reply).first(std::min<size_t>(about.reply_bytes, about.reply.size()));
}

void SlotMemory::fail_all(int fuse_fd) {
  for (auto slot : slots_in_use()) {
    const auto& asked = request(slot);
    fuse_out_header out{sizeof(fuse_out_header), asked.opcode == FUSE_LOOKUP ? -ENOENT : -EIO, asked.unique};
    // A request without a reply (FORGET), or answered meanwhile: the kernel refuses, and that is fine.
    if (::write(fuse_fd, &out, sizeof(out)) < 0 && errno == EBADF) return;
    clear(slot);
  }
}

}  // namespace hitfs::fs
