// The log of a mount's names: whatever lies in the file, opening it ends, keeps every whole record before the damage
// and nothing after it, goes on from there, and a tree made of any records can be written and read again. The first
// byte of an input says how the rest is read:
//   0 a log as it is (few inputs pass its checksums)   1 payloads of records, each with its length (2 bytes) before it
//   2 orders to a NameTree: records with few numbers and names, so that they meet
//   and with its highest bit set the log is grown and rewritten afterwards, which takes its time
#include <isa-l/crc.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fs/names/name_tree.h"
#include "fs/names/names_log.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_dir.h"

namespace hitfs::fs {
namespace {

using fuzz::Input;
using fuzz::promise;
using fuzz::value_of;
using Records = std::vector<NameRecord>;

constexpr std::string_view kHeader = "hitfs names 001\n";

const std::filesystem::path& log_path() {
  static const testing::TempDir folder;
  static const std::filesystem::path path = folder / "names.log";
  return path;
}

void write_log(std::string_view bytes) {
  auto file = value_of(io::create(log_path(), "fuzz", {.mode = 0600, .exclusive = false}), "the file can be made");
  value_of(io::write_all_at(file.get(), io::as_bytes(bytes), 0, "fuzz"), "the file can be written");
}

// fs/README.md, section names.log.
void append_framed(std::string& log, std::string_view payload) {
  auto length = static_cast<uint32_t>(payload.size());
  auto* bytes = reinterpret_cast<unsigned char*>(const_cast<char*>(payload.data()));
  uint32_t checksum = crc32_iscsi(bytes, static_cast<int>(payload.size()), 0xffffffffu);
  log.append(reinterpret_cast<const char*>(&length), sizeof(length));
  log.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
  log += payload;
}

std::string log_of(const Records& records) {
  std::string log(kHeader);
  for (const auto& record : records) append_framed(log, encode(record));
  return log;
}

Result<Records> read_log() {
  Records records;
  auto log = NamesLog::open(log_path(), [&](const NameRecord& record) { records.push_back(record); });
  if (!log) return std::move(log).error();
  return records;
}

Records snapshot_of(const NameTree& tree) {
  Records records;
  tree.snapshot([&](const NameRecord& record) { records.push_back(record); });
  return records;
}

NameTree tree_of(const Records& records) {
  NameTree tree;
  for (const auto& record : records) tree.apply(record);
  return tree;
}

void expect_names(const NameTree& tree) {
  for (const auto& [number, frozen] : tree.trees()) {
    promise(number < tree.next_tree(), "no tree has the number of the next one");
    promise(!frozen.numbers.empty(), "a frozen tree has at least itself");
  }
  auto* names = tree.own_names(kRootNumber);
  if (names == nullptr) return;
  size_t listed = 0;
  for (auto at = names->before(0); at; at = names->before(at->link.sequence)) ++listed;
  promise(listed == names->size(), "a listing meets every name once");
  for (const auto& [name, link] : names->all()) {
    promise(tree.child(kRootNumber, name).number == link.number, "a name that is listed is found", name);
  }
}

// What one worker knows, the next one knows: what it writes down does not grow, and numbers go on.
void expect_same_after_snapshot(const NameTree& tree) {
  auto first = snapshot_of(tree);
  auto again = tree_of(first);
  expect_names(again);
  promise(snapshot_of(again).size() <= first.size(), "a snapshot does not grow");
  promise(again.next_number() >= tree.next_number() && again.next_tree() >= tree.next_tree(), "numbers go on");
}

// The log as a worker goes on with it: one more record, then a rewrite.
void expect_goes_on(const Records& before, const NameTree& tree) {
  NameRecord more{.op = NameOp::whiteout, .time_ns = 1, .value = 4711, .name = "more"};
  {
    auto log = value_of(NamesLog::open(log_path(), [](const NameRecord&) {}), "a log that was opened is opened again");
    value_of(log.append(more), "a record is appended");
  }
  auto grown = value_of(read_log(), "a grown log is opened");
  promise(grown.size() == before.size() + 1 && grown.back() == more, "what was appended is there");
  grown.pop_back();
  promise(grown == before, "and what was before it");
  auto kept = snapshot_of(tree);
  {
    auto log = value_of(NamesLog::open(log_path(), [](const NameRecord&) {}), "the log is opened once more");
    value_of(log.rewrite([&](const NamesLog::Apply& emit) { tree.snapshot(emit); }), "the log is rewritten");
  }
  promise(value_of(read_log(), "a rewritten log is opened") == kept, "a rewrite has what it was told");
}

void check_log(const std::string& bytes, bool goes_on) {
  write_log(bytes);
  auto records = read_log();
  if (!records) {
    promise(records.error().code == Code::invalid_argument || records.error().code == Code::corrupt,
            "a log is damaged or of another version", records.error().message);
    return;
  }
  promise(log_of(*records).size() <= std::max(bytes.size(), kHeader.size()), "no record comes from nowhere");
  for (const auto& record : *records) {
    promise(value_of(decode(encode(record)), "a record is written again") == record, "a record stays what it is");
  }
  auto tree = tree_of(*records);
  expect_names(tree);
  expect_same_after_snapshot(tree);
  if (goes_on) expect_goes_on(*records, tree);
}

std::string with_checksums(Input& input) {
  std::string log(kHeader);
  while (!input.empty()) append_framed(log, input.text(input.number<uint16_t>()));
  return log;
}

Number small_number(Input& input) {
  auto byte = input.number<uint8_t>();
  if (byte < 8) return kRootNumber;
  if (byte < 16) return kFirstCommitted + byte % 4;
  return kFirstStaging + byte % 16;
}

std::string small_name(Input& input) { return std::string(1, static_cast<char>('a' + input.number<uint8_t>() % 4)); }

// Records as a worker could write them, in an order in which it would not.
Records orders(Input& input) {
  Records records;
  while (!input.empty()) {
    NameRecord record;
    record.op = static_cast<NameOp>(1 + input.number<uint8_t>() % static_cast<int>(NameOp::thaw));
    record.unique = input.number<uint8_t>();
    record.number = small_number(input);
    record.parent = small_number(input);
    record.other_parent = small_number(input);
    record.value = input.number<uint8_t>() % 8;
    if (record.op == NameOp::committed || record.op == NameOp::alias) record.value += kFirstCommitted;
    record.tree = input.number<uint8_t>() % 4;
    record.time_ns = input.number<int16_t>();
    if (record.unique % 4 == 1) record.mode = 0750;
    if (record.unique % 4 == 2) record.mtime_ns = record.time_ns;
    record.name = small_name(input);
    record.other_name = small_name(input);
    records.push_back(record);
  }
  return records;
}

}  // namespace
}  // namespace hitfs::fs

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  hitfs::log::set_level(hitfs::log::Level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs::fs;
  hitfs::fuzz::Input input(data, size);
  auto how = input.number<uint8_t>();
  bool goes_on = (how & 0x80) != 0;
  switch (how % 128 % 3) {
    case 0: check_log(std::string(input.all()), goes_on); break;
    case 1: check_log(with_checksums(input), goes_on); break;
    default: check_log(log_of(orders(input)), goes_on);
  }
  return 0;
}
