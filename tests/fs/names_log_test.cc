#include "fs/names/names_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "store/base/io.h"
#include "tests/support/temp_dir.h"

namespace hitfs::fs {
namespace {

NameRecord example(uint64_t unique, const std::string& name) {
  NameRecord record;
  record.op = NameOp::rename;
  record.unique = unique;
  record.time_ns = -5;
  record.number = kFirstStaging + 7;
  record.parent = 1;
  record.other_parent = kFirstCommitted + 3;
  record.value = 1ull << 40;
  record.tree = 9;
  record.mode = 0;
  record.mtime_ns = 0;
  record.name = name;
  record.other_name = std::string("a\0\xff/", 4);
  return record;
}

std::vector<NameRecord> all_of(const std::filesystem::path& path) {
  std::vector<NameRecord> records;
  auto log = NamesLog::open(path, [&](const NameRecord& record) { records.push_back(record); });
  EXPECT_TRUE(log) << log.error().message;
  return records;
}

// Lets the first `most` bytes of the writes to names.log through, as a full disk or a dying process would.
class CutWrites final : public io::FaultInjector {
 public:
  CutWrites() { io::install_fault_injector(this); }
  ~CutWrites() override { io::install_fault_injector(nullptr); }
  Status before(const Step& step) override {
    if (step.what != "names.log" || step.op != op) return Ok{};
    if (step.op == io::Op::write && torn_bytes > 0) {
      std::string garbage(torn_bytes, '\x11');
      EXPECT_GE(::pwrite(step.fd, garbage.data(), garbage.size(), std::filesystem::file_size(path)), 0);
    }
    return Error{Code::no_space, "injected"};
  }
  void after(const Step&, bool) override {}
  io::Op op = io::Op::write;
  size_t torn_bytes = 0;
  std::filesystem::path path;
};

TEST(NamesLogTest, KeepsEveryFieldOfARecord) {
  for (const auto& record : {example(1, "x"), example(0, std::string(255, '\xfe')), NameRecord{}}) {
    auto back = decode(encode(record));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, record);
  }
}

TEST(NamesLogTest, TheExampleInTheReadmeIsTrue) {
  testing::TempDir dir;
  NameRecord record;
  record.op = NameOp::create;
  record.unique = 8;
  record.time_ns = 1'700'000'000'000'000'000;
  record.number = (1ull << 52) + 1;
  record.parent = 1;
  record.mode = 0644;
  record.name = "f";
  {
    auto log = NamesLog::open(dir / "log", [](const NameRecord&) {});
    ASSERT_TRUE(log->append(record));
  }
  const unsigned char expected[] = {
      0x31, 0, 0,    0, 0x2b, 0xa7, 0x91, 0x78,                                            // length, checksum
      2,    0, 0x8f, 0,                                                                    // create, mask
      8,    0, 0,    0, 0,    0,    0,    0,    0, 0, 0x2a, 0x36, 0xfe, 0x9c, 0x97, 0x17,  // unique, time
      1,    0, 0,    0, 0,    0,    0x10, 0,    1, 0, 0,    0,    0,    0,    0,    0,     // number, parent
      0xa4, 1, 0,    0, 0,    0,    0,    0,    1, 0, 0x66, 0,    0,                       // mode, names
  };
  auto bytes = io::read_file(dir / "log", 1 << 20).value();
  EXPECT_EQ(bytes, "hitfs names 001\n" + std::string(reinterpret_cast<const char*>(expected), sizeof(expected)));
}

TEST(NamesLogTest, RefusesRecordsThatEncodeDoesNotMake) {
  auto payload = encode(example(1, "name"));
  for (size_t length = 0; length < payload.size(); ++length) EXPECT_FALSE(decode(payload.substr(0, length)));
  EXPECT_FALSE(decode(payload + "x"));
  payload[0] = 99;
  auto later = decode(payload);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, Code::invalid_argument);
}

TEST(NamesLogTest, GivesBackWhatWasAppended) {
  testing::TempDir dir;
  std::vector<NameRecord> written;
  {
    auto log = NamesLog::open(dir / "log", [](const NameRecord&) {});
    ASSERT_TRUE(log);
    // More than one window of the reader.
    for (uint64_t i = 0; i < 20000; ++i) {
      written.push_back(example(i, std::to_string(i)));
      ASSERT_TRUE(log->append(written.back()));
    }
    ASSERT_TRUE(log->sync());
  }
  EXPECT_EQ(all_of(dir / "log"), written);
}

TEST(NamesLogTest, EveryTornTailIsCutAndTheLogGoesOn) {
  testing::TempDir dir;
  {
    auto log = NamesLog::open(dir / "log", [](const NameRecord&) {});
    ASSERT_TRUE(log->append(example(1, "one")));
    ASSERT_TRUE(log->append(example(2, "two")));
  }
  auto whole = io::read_file(dir / "log", 1 << 20).value();
  auto one = 16 + 8 + encode(example(1, "one")).size();
  for (size_t length = 0; length < whole.size(); ++length) {
    std::ofstream(dir / "log", std::ios::binary | std::ios::trunc) << whole.substr(0, length);
    {
      std::vector<NameRecord> records;
      auto log = NamesLog::open(dir / "log", [&](const NameRecord& record) { records.push_back(record); });
      ASSERT_TRUE(log) << length;
      EXPECT_EQ(records.size(), length < one ? 0u : 1u) << length;
      ASSERT_TRUE(log->append(example(3, "three")));
    }
    auto records = all_of(dir / "log");
    ASSERT_FALSE(records.empty()) << length;
    EXPECT_EQ(records.back().unique, 3u) << length;
  }
}

TEST(NamesLogTest, AFlippedByteEndsTheLogBeforeIt) {
  testing::TempDir dir;
  {
    auto log = NamesLog::open(dir / "log", [](const NameRecord&) {});
    ASSERT_TRUE(log->append(example(1, "one")));
    ASSERT_TRUE(log->append(example(2, "two")));
  }
  auto whole = io::read_file(dir / "log", 1 << 20).value();
  auto one = 16 + 8 + encode(example(1, "one")).size();
  for (size_t at = one; at < whole.size(); ++at) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    std::ofstream(dir / "log", std::ios::binary | std::ios::trunc) << damaged;
    EXPECT_EQ(all_of(dir / "log").size(), 1u) << at;
  }
}

TEST(NamesLogTest, ALogOfALaterVersionIsRefusedWithTheRemedy) {
  testing::TempDir dir;
  std::ofstream(dir / "log") << "hitfs names 002\n";
  auto log = NamesLog::open(dir / "log", [](const NameRecord&) {});
  ASSERT_FALSE(log);
  EXPECT_NE(log.error().message.find("use the version that wrote it"), std::string::npos) << log.error().message;
}

TEST(NamesLogTest, AFailedAppendLeavesNothingBehind) {
  testing::TempDir dir;
  auto log = NamesLog::open(dir / "log", [](const NameRecord&) {});
  ASSERT_TRUE(log->append(example(1, "one")));
  {
    CutWrites faults;
    faults.path = dir / "log";
    faults.torn_bytes = 11;
    auto failed = log->append(example(2, "two"));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, Code::no_space);
  }
  ASSERT_TRUE(log->append(example(3, "three")));
  auto records = all_of(dir / "log");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].unique, 3u);
}

TEST(NamesLogTest, ARewriteReplacesTheLogWholeOrNotAtAll) {
  testing::TempDir dir;
  auto log = NamesLog::open(dir / "log", [](const NameRecord&) {});
  for (uint64_t i = 1; i < 100; ++i) ASSERT_TRUE(log->append(example(i, "x")));
  auto emit = [](const NamesLog::Apply& out) { out(example(1000, "all")); };
  for (auto op : {io::Op::create, io::Op::write, io::Op::fsync, io::Op::rename}) {
    CutWrites faults;
    faults.op = op;
    faults.path = dir / "log";
    EXPECT_FALSE(log->rewrite(emit)) << to_string(op);
    EXPECT_EQ(all_of(dir / "log").size(), 99u) << to_string(op);
  }
  ASSERT_TRUE(log->rewrite(emit));
  ASSERT_TRUE(log->append(example(1001, "after")));
  auto records = all_of(dir / "log");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].unique, 1000u);
  EXPECT_EQ(records[1].unique, 1001u);
}

}  // namespace
}  // namespace hitfs::fs
