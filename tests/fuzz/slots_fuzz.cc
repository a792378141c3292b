// The memory that a supervisor shares with a worker that went wild before it died: whatever lies in it, attaching
// refuses it or everything that looks at it stays inside. An input is pieces: where (a region and an offset in it), how
// long, and bytes; then orders to the table of references.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "fs/slots/reference_table.h"
#include "fs/slots/request_counters.h"
#include "fs/slots/slots.h"
#include "fs/slots/stall_detector.h"
#include "store/base/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fake_clock.h"

namespace hitfs::fs {
namespace {

using fuzz::Input;
using fuzz::promise;
using fuzz::value_of;

constexpr size_t kUsedReferences = 64;

class SharedMemory {
 public:
  SharedMemory() : memory_(value_of(SlotMemory::create(), "slots can be made")) {}

  void write(size_t offset, std::string_view bytes) {
    offset = std::min(offset, format::kTotalBytes - bytes.size());
    auto* place = base() + offset;
    before_.emplace_back(offset, std::string(place, bytes.size()));
    std::memcpy(place, bytes.data(), bytes.size());
  }
  // As it was when it was new; also what looking at it changed.
  void restore() {
    for (auto change = before_.rbegin(); change != before_.rend(); ++change) {
      std::memcpy(base() + change->first, change->second.data(), change->second.size());
    }
    before_.clear();
    std::memset(base() + format::kDescriptorsOffset, 0, 16 * sizeof(format::SlotDescriptor));
    std::memset(base() + format::kSmallOffset, 0, format::kSmallBytes);
    std::memset(base() + format::kReferencesOffset, 0, kUsedReferences * sizeof(format::Reference));
  }
  [[nodiscard]] int descriptor() const { return memory_.descriptor(); }

 private:
  [[nodiscard]] char* base() const { return reinterpret_cast<char*>(&memory_.header()); }
  SlotMemory memory_;
  std::vector<std::pair<size_t, std::string>> before_;
};

size_t place(Input& input) {
  constexpr size_t kRegions[] = {0, format::kDescriptorsOffset, format::kLargeOffset, format::kSmallOffset};
  auto region = input.number<uint8_t>();
  size_t offset = input.number<uint16_t>();
  if (region % 5 == 4) return format::kReferencesOffset + offset % kUsedReferences * sizeof(format::Reference);
  if (region % 5 == 2) return format::kLargeOffset + offset % 8 * format::kLargeBytes + offset / 8 % 64;
  return kRegions[region % 5] + offset;
}

bool inside(std::span<const std::byte> piece, std::span<const std::byte> whole) {
  return piece.empty() || (piece.data() >= whole.data() && piece.data() + piece.size() <= whole.data() + whole.size());
}

uint64_t sum_of(std::span<const std::byte> bytes) {
  uint64_t sum = 0;
  for (auto byte : bytes) sum += static_cast<uint64_t>(byte);
  return sum;
}

// What a new worker does with what it finds; the reads themselves are what the sanitizer watches.
void look_at(SlotMemory& memory) {
  auto& header = memory.header();
  promise(header.init_bytes <= header.init.size() && header.init_reply_bytes <= header.init_reply.size(),
          "what was saved of INIT lies where it should");
  uint64_t sum = 0;
  for (auto slot : memory.slots_in_use()) {
    auto request = memory.request_bytes(slot);
    promise(inside(request, memory.payload(slot)), "a request lies in its slot");
    sum += sum_of(request) + sum_of(memory.stored_reply(slot));
    std::span<const std::byte> all(reinterpret_cast<const std::byte*>(&memory.descriptor(slot)),
                                   sizeof(format::SlotDescriptor));
    promise(inside(memory.stored_reply(slot), all), "a stored reply lies in its slot");
  }
  auto counts = count_requests(memory);
  promise(counts.parked <= format::kSmallSlots, "no more wait than there are slots");
  testing::FakeClock clock;
  StallDetector detector(memory, -1, Milliseconds(6000), clock);
  sum += static_cast<uint64_t>(detector.stalled_for().count());
  detector.blame(Milliseconds(5000));
  volatile uint64_t kept = sum;
  static_cast<void>(kept);
}

void move_requests(SlotMemory& memory) {
  SlotIndex small = format::kLargeSlots;
  for (auto slot : memory.slots_in_use()) {
    if (!SlotMemory::is_large(slot) || memory.request(slot).len > format::kSmallBytes) continue;
    if (memory.in_use(small)) continue;
    uint64_t unique = memory.request(slot).unique;
    memory.move(slot, small);
    promise(!memory.in_use(slot) && memory.request(small).unique == unique, "a moved request is the same");
    memory.clear(small);
  }
}

// Whatever the table holds already, and also when it is full: never fewer than there are.
void use_references(SlotMemory& memory, Input& input) {
  ReferenceTable table(memory.references().first(kUsedReferences));
  std::map<uint64_t, uint64_t> held;
  while (!input.empty()) {
    auto order = input.number<uint8_t>();
    uint64_t entry = format::kReferences + input.number<uint8_t>() % 128;
    auto before = table.count(entry);
    if (order % 2 == 0) {
      table.add(entry, order);
      held[entry] += order;
      promise(table.count(entry) >= before + std::min<uint64_t>(order, UINT64_MAX - before), "what is added counts");
    } else {
      table.drop(entry, order);
      held[entry] -= std::min<uint64_t>(order, held[entry]);
      promise(table.count(entry) <= before, "what is dropped does not");
    }
    for (auto [each, count] : held) promise(table.count(each) >= count, "no reference is forgotten");
  }
}

}  // namespace
}  // namespace hitfs::fs

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  hitfs::log::set_level(hitfs::log::Level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs::fs;
  static SharedMemory shared;
  hitfs::fuzz::Input input(data, size);
  for (auto pieces = input.number<uint8_t>() % 16; pieces > 0; --pieces) {
    auto at = place(input);
    auto length = input.number<uint8_t>();
    shared.write(at, input.text(length));
  }
  if (auto memory = SlotMemory::attach(shared.descriptor(), SlotMemory::Pages::lazy)) {
    look_at(*memory);
    move_requests(*memory);
    use_references(*memory, input);
  }
  shared.restore();
  return 0;
}
