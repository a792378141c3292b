#include "sync/remotes/file_remote.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>
#include <thread>

#include "store/base/io.h"
#include "tests/support/memory_entry.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

using testing::MemoryEntry;
using testing::MemoryWriter;
namespace fs = std::filesystem;

// Fails chosen steps, as a drive does that cannot do them.
class FailingSteps final : public io::FaultInjector {
 public:
  FailingSteps() { io::install_fault_injector(this); }
  ~FailingSteps() override { io::install_fault_injector(nullptr); }
  Status before(const Step& step) override { return fails.count(step.op) ? Status(error) : Status(Ok{}); }
  void after(const Step&, bool) override {}

  std::set<io::Op> fails;
  Error error{Code::internal, "not supported by this drive"};
};

class FileRemoteTest : public ::testing::Test {
 protected:
  Result<StoreResult> store(const std::string& bytes) {
    MemoryEntry entry(bytes);
    RemoteCall one;
    return remote.store(key, entry, one);
  }
  Status fetch() {
    writer.bytes.clear();
    RemoteCall one;
    auto fetched = remote.fetch(key, writer, one);
    trouble = one.trouble;
    return fetched;
  }
  fs::path stored_file() { return drive / "hitfs-1" / key.name.substr(0, 2) / key.name; }
  size_t left_over() {
    auto incoming = drive / "hitfs-1" / "incoming";
    return fs::exists(incoming) ? static_cast<size_t>(std::distance(fs::directory_iterator(incoming), {})) : 0;
  }
  void overwrite(size_t offset, const std::string& bytes) {
    auto fd = io::open_write(stored_file());
    ASSERT_TRUE(fd) << fd.error().message;
    ASSERT_TRUE(io::write_all_at(fd->get(), io::as_bytes(bytes), offset, "test"));
  }

  testing::TempDir folder;
  fs::path drive = folder.path();
  FileRemote remote{folder.path(), Patience{}};
  RemoteKey key = RemoteKey::of(Key{"", "nx", "1"}, 0, "");
  MemoryWriter writer;
  Trouble trouble = Trouble::none;
};

TEST_F(FileRemoteTest, TheFileIsTheBytesAndATrailer) {
  ASSERT_TRUE(store("hello"));
  auto text = io::read_file(stored_file(), 1000).value();
  ASSERT_EQ(text.size(), 5u + 64u);
  EXPECT_EQ(text.substr(0, 5), "hello");
  EXPECT_EQ(text.substr(5, 16), std::string("hitfs-entry-1\n\0\0", 16));
  EXPECT_EQ(text.substr(21, 8), std::string("\5\0\0\0\0\0\0\0", 8));
  auto digest = Digest::of(io::as_bytes("hello"));
  EXPECT_EQ(text.substr(37), std::string(io::as_text(digest.hash)));
  EXPECT_EQ(left_over(), 0u);
}

TEST_F(FileRemoteTest, EveryDamageIsRefusedAndHealedByTheNextStore) {
  struct Damage {
    const char* name;
    std::function<void()> inflict;
  };
  std::string bytes(100'000, 'x');
  for (const auto& damage : {Damage{"a changed byte", [&] { overwrite(50'000, "y"); }},
                             Damage{"a changed digest", [&] { overwrite(bytes.size() + 40, "y"); }},
                             Damage{"a changed magic", [&] { overwrite(bytes.size(), "y"); }},
                             Damage{"a changed size", [&] { overwrite(bytes.size() + 16, "y"); }},
                             Damage{"a lost tail", [&] { fs::resize_file(stored_file(), 99'000); }},
                             Damage{"nothing left", [&] { fs::resize_file(stored_file(), 0); }},
                             Damage{"zeros after a power cut",
                                    [&] {
                                      fs::resize_file(stored_file(), 0);
                                      fs::resize_file(stored_file(), bytes.size() + 64);
                                    }},
                             Damage{"a link", [&] {
                                      fs::rename(stored_file(), drive / "elsewhere");
                                      fs::create_symlink(drive / "elsewhere", stored_file());
                                    }}}) {
    ASSERT_TRUE(store(bytes)) << damage.name;
    damage.inflict();
    auto fetched = fetch();
    ASSERT_FALSE(fetched) << damage.name;
    EXPECT_EQ(fetched.error().code, Code::corrupt) << damage.name << ": " << fetched.error().message;
    EXPECT_EQ(trouble, Trouble::none) << "the drive itself is well";
    auto healed = store(bytes);
    ASSERT_TRUE(healed) << damage.name;
    EXPECT_EQ(*healed, StoreResult::stored) << damage.name;
    EXPECT_TRUE(fetch()) << damage.name;
    EXPECT_EQ(writer.bytes, bytes) << damage.name;
    fs::remove(stored_file());
  }
}

TEST_F(FileRemoteTest, APipeInPlaceOfAnEntryDoesNotHang) {
  fs::create_directories(stored_file().parent_path());
  ASSERT_EQ(::mkfifo(stored_file().c_str(), 0600), 0);
  auto fetched = fetch();
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::corrupt);
}

TEST_F(FileRemoteTest, ADriveThatIsNotThereIsUnavailableNotAMiss) {
  FileRemote absent(drive / "not-mounted", Patience{});
  RemoteCall down, up, ask;
  auto fetched = absent.fetch(key, writer, down);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::unavailable) << fetched.error().message;
  EXPECT_EQ(down.trouble, Trouble::connect);
  MemoryEntry entry("x");
  auto stored = absent.store(key, entry, up);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, Code::unavailable);
  EXPECT_FALSE(absent.contains(key, ask));
  EXPECT_FALSE(fs::exists(drive / "not-mounted")) << "it must not be made where a drive is to be mounted";
}

TEST_F(FileRemoteTest, WithoutHardLinksARenamePublishes) {
  FailingSteps steps;
  steps.fails = {io::Op::link};
  auto stored = store("hello");
  ASSERT_TRUE(stored) << stored.error().message;
  EXPECT_EQ(*stored, StoreResult::stored);
  auto again = store("other");
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, StoreResult::already_there);
  EXPECT_TRUE(fetch());
  EXPECT_EQ(writer.bytes, "hello");
  EXPECT_EQ(left_over(), 0u);
}

TEST_F(FileRemoteTest, AFailureAtAnyStepLeavesNothingBehind) {
  for (auto op : {io::Op::mkdir, io::Op::create, io::Op::write, io::Op::fsync}) {
    FailingSteps steps;
    steps.fails = {op};
    auto stored = store("hello");
    ASSERT_FALSE(stored) << io::to_string(op);
    EXPECT_EQ(stored.error().code, Code::unavailable) << io::to_string(op);
    steps.fails.clear();
    auto fetched = fetch();
    ASSERT_FALSE(fetched) << io::to_string(op);
    EXPECT_EQ(fetched.error().code, Code::not_found) << io::to_string(op);
    EXPECT_EQ(left_over(), 0u) << io::to_string(op);
  }
}

TEST_F(FileRemoteTest, AFullDriveIsNoSpaceAndRightsAreRights) {
  for (auto code : {Code::no_space, Code::permission_denied}) {
    FailingSteps steps;
    steps.fails = {io::Op::write};
    steps.error = Error{code, "scripted"};
    auto stored = store("hello");
    ASSERT_FALSE(stored);
    EXPECT_EQ(stored.error().code, code);
  }
}

TEST_F(FileRemoteTest, WhatDeadWritersLeftGoesAfterADay) {
  auto incoming = drive / "hitfs-1" / "incoming";
  fs::create_directories(incoming);
  auto leave = [&](const std::string& name, std::chrono::hours age) {
    ASSERT_TRUE(io::replace_file(incoming / name, io::as_bytes("half"), "test"));
    fs::last_write_time(incoming / name, fs::file_time_type::clock::now() - age);
  };
  leave("dead", std::chrono::hours(25));
  leave("at-work", std::chrono::hours(23));
  ASSERT_TRUE(store("hello"));
  EXPECT_FALSE(fs::exists(incoming / "dead"));
  EXPECT_TRUE(fs::exists(incoming / "at-work"));
}

TEST_F(FileRemoteTest, AReaderDuringAReplacementKeepsItsEntry) {
  ASSERT_TRUE(store(std::string(3 << 20, 'a')));
  writer.on_write = [&, once = true](size_t) mutable {
    if (!std::exchange(once, false)) return;
    RemoteCall removal;
    EXPECT_TRUE(remote.remove(key, removal));
    EXPECT_TRUE(store(std::string(3 << 20, 'b')));
  };
  auto fetched = fetch();
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(writer.bytes, std::string(3 << 20, 'a'));
}

TEST_F(FileRemoteTest, TheDeadlineEndsACopyInTheMiddle) {
  ASSERT_TRUE(store(std::string(8 << 20, 'a')));
  std::stop_source stop;
  writer.on_write = [&](size_t) { stop.request_stop(); };
  RemoteCall one(Deadline::never(), stop.get_token());
  auto fetched = remote.fetch(key, writer, one);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::unavailable);
  EXPECT_LT(writer.bytes.size(), size_t{8} << 20);
}

TEST_F(FileRemoteTest, NamesThatADriveMightMixUpAreRefused) {
  for (const std::string& name : {std::string("Ab"), std::string("a"), std::string(".ab"), std::string("ab."),
                                  std::string("a:b"), std::string("a b"), std::string(200, 'a')}) {
    key = {Key{"", "nx", name}, true, name};
    auto fetched = fetch();
    ASSERT_FALSE(fetched) << name;
    EXPECT_EQ(fetched.error().code, Code::invalid_argument) << name;
  }
}

}  // namespace
}  // namespace hitfs
