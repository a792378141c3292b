#pragma once

#include <linux/fuse.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

// What lies in the memory that a supervisor and the workers of one mount share: format version 1. The table of it is in
// fs/README.md, section "Slots". Nothing is moved or resized while a mount lives; a worker of another version refuses.
namespace hitfs::fs::format {

constexpr std::array<char, 8> kMagic{'h', 'i', 't', 'f', 's', 'S', 'L', 'T'};
constexpr uint32_t kVersion = 1;

// A request is at most a WRITE of 1 MiB with its headers; the kernel wants room for all of it before each read.
constexpr size_t kMaxWrite = 1 << 20;
constexpr size_t kLargeBytes = kMaxWrite + 8192;
constexpr uint32_t kLargeSlots = 8;  // reader threads x 2
// A parked LOOKUP: a header of 40 bytes and a name of at most 256; a RENAME2 with two names fits as well.
constexpr size_t kSmallBytes = 704;
constexpr uint32_t kSmallSlots = 4096;
constexpr uint32_t kSlots = kLargeSlots + kSmallSlots;
// The largest reply of a changing request is CREATE's: 16 + 128 + 16 bytes.
constexpr size_t kReplyBytes = 192;
constexpr size_t kInitBytes = 1024;
constexpr uint64_t kReferences = 1 << 20;
constexpr size_t kOpcodes = 64;  // opcodes beyond count as the last

// What is known of the request in a slot. Whether there is one says the slot's own request header: its length is zero
// in a free slot, because it is zeroed before the read, and the kernel fills it.
enum class SlotState : uint32_t {
  read = 0,          // nobody has begun with it (or it is parked)
  executing = 1,     // a thread carries it out
  reply_stored = 2,  // carried out: only the sending may be missing
};

struct alignas(64) SlotDescriptor {
  std::atomic<SlotState> state;
  std::atomic<uint32_t> crashes;      // workers that this very request brought down (a fatal signal, the watchdog)
  std::atomic<uint32_t> deaths;       // workers that died for an unknown reason while they carried it out
  std::atomic<uint32_t> reply_bytes;  // of `reply`, when reply_stored
  std::atomic<int64_t> since_ns;      // monotonic clock at the read; 0 when not known
  std::array<std::byte, kReplyBytes> reply;
};
static_assert(sizeof(SlotDescriptor) == 256);

struct Counters {
  std::array<std::atomic<uint64_t>, kOpcodes> requests;  // by opcode, each once, however often it was carried out
  std::atomic<uint64_t> read;                            // all of them: the watchdog sees that a worker reads
  std::atomic<uint64_t> failed;                          // replies with EIO
  std::atomic<uint64_t> workers;                         // that attached
  std::atomic<uint64_t> settled;                         // requests of dead workers that were carried out again
  std::atomic<uint64_t> resent;                          // stored replies of dead workers
  std::atomic<uint64_t> poisoned;                        // requests given up with EIO
};

struct Header {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t large_slots, small_slots;
  uint32_t large_bytes, small_bytes, reply_bytes;
  uint64_t references;
  uint64_t connection;                     // random, never 0: which mount this is (FilesystemOptions::connection)
  std::atomic<uint32_t> init_bytes;        // 0 until the kernel's INIT was read
  std::atomic<uint32_t> init_reply_bytes;  // 0 until it was answered
  std::array<std::byte, kInitBytes> init;
  std::array<std::byte, kInitBytes> init_reply;
  Counters counters;
};

// Open addressing with linear probing. A key of 0 ends a chain; a count of 0 may be taken over by another key.
struct Reference {
  std::atomic<uint64_t> key;
  std::atomic<uint64_t> count;
};

constexpr size_t page_aligned(size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

constexpr size_t kDescriptorsOffset = page_aligned(sizeof(Header));
constexpr size_t kLargeOffset = kDescriptorsOffset + page_aligned(kSlots * sizeof(SlotDescriptor));
constexpr size_t kSmallOffset = kLargeOffset + kLargeSlots * kLargeBytes;
constexpr size_t kReferencesOffset = kSmallOffset + page_aligned(kSmallSlots * kSmallBytes);
constexpr size_t kTotalBytes = kReferencesOffset + page_aligned(kReferences * sizeof(Reference));

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<SlotState>::is_always_lock_free);

}  // namespace hitfs::fs::format
