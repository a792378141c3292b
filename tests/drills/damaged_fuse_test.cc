// FUSE requests that no kernel sends: cut, longer than they say, names without an end, sizes beyond all bounds. Each is
// answered once, if it takes an answer, and the next good request gets what it asked for.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <random>
#include <thread>

#include "fs/edge/fuse_server.h"
#include "tests/fs/mount_harness.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_kernel.h"

namespace hitfs::fs {

namespace {

using testing::FakeKernel;
using testing::raw;
using testing::text;

constexpr int kShortForm = 4'000;
constexpr int kLongForm = 200'000;
constexpr unsigned kSeed = 5;
constexpr uint32_t kEverything = ~uint32_t{0} & ~static_cast<uint32_t>(FUSE_INIT_EXT);
constexpr uint64_t kFirstUnique = uint64_t{1} << 40;
constexpr size_t kUniqueAt = offsetof(fuse_in_header, unique);
constexpr size_t kArgumentsAt = sizeof(fuse_in_header);

int wanted_requests() {
  const char* long_form = std::getenv("HITFS_DRILL_LONG");
  return long_form != nullptr && std::string(long_form) == "1" ? kLongForm : kShortForm;
}

fuse_mkdir_in a_directory() {
  fuse_mkdir_in in{};
  in.mode = 0755;
  return in;
}
fuse_mknod_in a_file() {
  fuse_mknod_in in{};
  in.mode = S_IFREG | 0644;
  return in;
}
fuse_write_in bytes_to_write(size_t size) {
  fuse_write_in in{};
  in.size = static_cast<uint32_t>(size);
  return in;
}

// Makes damaged requests about one directory and one file.
class Damage {
 public:
  Damage(Number directory, Number file) : directory_(directory), file_(file) {}

  std::string request(uint64_t unique) {
    auto request = good();
    for (size_t times = 1 + below(3); times > 0; --times) damage(request);
    // The kernel's own number of it; what is too short for one is no request.
    if (request.size() >= kUniqueAt + sizeof(unique)) std::memcpy(request.data() + kUniqueAt, &unique, sizeof(unique));
    return request;
  }

 private:
  size_t below(size_t end) { return random_() % end; }
  std::string name() { return "s" + std::to_string(below(8)); }

  // Values as a kernel would never fill them in.
  template <typename T>
  T arguments() {
    T in{};
    if (below(2) == 0) return in;
    for (size_t i = 0; i < sizeof(T); ++i) reinterpret_cast<unsigned char*>(&in)[i] = static_cast<uint8_t>(random_());
    return in;
  }

  std::string good() {
    auto about = [](uint32_t opcode, Number number, const std::string& rest) {
      return FakeKernel::request(0, opcode, number, rest);
    };
    switch (below(18)) {
      case 0: return about(FUSE_LOOKUP, directory_, text(name()));
      case 1: return about(FUSE_UNLINK, directory_, text(name()));
      case 2: return about(FUSE_RMDIR, directory_, text(name()));
      case 3: return about(FUSE_MKDIR, directory_, raw(arguments<fuse_mkdir_in>()) + text(name()));
      case 4: return about(FUSE_MKNOD, directory_, raw(a_file()) + text(name()));
      case 5: return about(FUSE_SYMLINK, directory_, text(name()) + text("target"));
      case 6: return about(FUSE_RENAME, directory_, raw(fuse_rename_in{directory_}) + text(name()) + text(name()));
      case 7: return about(FUSE_RENAME2, directory_, raw(arguments<fuse_rename2_in>()) + text(name()) + text(name()));
      case 8: return about(FUSE_GETATTR, file_, raw(arguments<fuse_getattr_in>()));
      case 9: return about(FUSE_SETATTR, file_, raw(arguments<fuse_setattr_in>()));
      case 10: return about(FUSE_READ, file_, raw(arguments<fuse_read_in>()));
      case 11: return about(FUSE_WRITE, file_, raw(bytes_to_write(9)) + "some text");
      case 12: return about(FUSE_WRITE, file_, raw(arguments<fuse_write_in>()) + "some text");
      case 13:
        return about(below(2) == 0 ? FUSE_READDIR : FUSE_READDIRPLUS, directory_, raw(arguments<fuse_read_in>()));
      case 14: return about(FUSE_FORGET, file_, raw(arguments<fuse_forget_in>()));
      case 15:
        return about(FUSE_BATCH_FORGET, 0, raw(arguments<fuse_batch_forget_in>()) + raw(arguments<fuse_forget_one>()));
      case 16: return about(FUSE_INTERRUPT, 0, raw(arguments<fuse_interrupt_in>()));
      default: return about(static_cast<uint32_t>(below(60)), directory_, std::string(below(200), 'x'));
    }
  }

  void damage(std::string& request) {
    switch (below(7)) {
      case 0: request.resize(below(request.size() + 1)); break;
      case 1: request.append(1 + below(4000), static_cast<char>(random_())); break;
      case 2: flip(request); break;
      case 3: put(request, kArgumentsAt + below(80), ~uint64_t{0} >> below(64)); break;
      // In the header: its length, its operation, what it is about, and who asks.
      case 4: put(request, 0, static_cast<uint32_t>(below(2) == 0 ? below(9000) : random_())); break;
      case 5: put(request, 4, static_cast<uint32_t>(below(2) == 0 ? below(60) : random_())); break;
      default: put(request, 16, kNumbers[below(kNumbers.size())]);
    }
  }
  // Not in the header: another good number there would make a good request about something else.
  void flip(std::string& request) {
    if (request.size() <= kArgumentsAt) return;
    auto& byte = request[kArgumentsAt + below(request.size() - kArgumentsAt)];
    byte = static_cast<char>(byte ^ (1 << below(8)));
  }
  template <typename T>
  static void put(std::string& request, size_t at, T value) {
    if (at + sizeof(value) <= request.size()) std::memcpy(request.data() + at, &value, sizeof(value));
  }

  static constexpr std::array<uint64_t, 7> kNumbers{0,           kFirstCommitted, kEndCommitted - 1, kEndStaging - 1,
                                                    kEndStaging, ~uint64_t{0},    uint64_t{1} << 63};
  Number directory_, file_;
  std::mt19937_64 random_{kSeed};
};

}  // namespace

class DamagedFuseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = std::move(FuseServer::create({.fuse_fd = kernel_.device()}, slots_, mount_.fs()).value());
    kernel_.send_init(kEverything);
    ASSERT_TRUE(server_->start());
    directory_ = make(FUSE_MKDIR, kRootNumber, raw(a_directory()) + text("directory"));
    Number kept = make(FUSE_MKDIR, kRootNumber, raw(a_directory()) + text("the-one-that-stays"));
    kept_ = make(FUSE_MKNOD, kept, raw(a_file()) + text("the-file-that-stays"));
    file_ = make(FUSE_MKNOD, directory_, raw(a_file()) + text("file"));
    ASSERT_EQ(kernel_.call(FUSE_WRITE, kept_, raw(bytes_to_write(bytes_.size())) + bytes_).error, 0);
  }
  void TearDown() override {
    EXPECT_TRUE(testing::eventually([&] { return slots_.slots_in_use().empty(); })) << "a slot is lost";
    kernel_.cut();
    server_.reset();
  }

  Number make(uint32_t opcode, Number parent, const std::string& arguments) {
    auto answer = kernel_.call(opcode, parent, arguments);
    EXPECT_EQ(answer.error, 0);
    return answer.as<fuse_entry_out>().nodeid;
  }

  static bool takes_an_answer(const std::string& message) {
    if (message.size() < kArgumentsAt) return false;
    uint32_t opcode = 0;
    std::memcpy(&opcode, message.data() + sizeof(uint32_t), sizeof(opcode));
    return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
  }
  void send(uint64_t unique, const std::string& message) {
    kernel_.send(message);
    if (!takes_an_answer(message)) return;
    auto answer = kernel_.answer(unique);
    ASSERT_TRUE(answer);
    ASSERT_EQ(kernel_.answers(unique), 1);
    ASSERT_LE(answer->error, 0);
    ++(answer->error == 0 ? carried_out_ : answer->error == -EIO ? refused_ : failed_);
  }
  void expect_good() {
    auto found = kernel_.call(FUSE_LOOKUP, kRootNumber, text("the-one-that-stays"));
    ASSERT_EQ(found.error, 0);
    fuse_read_in in{};
    in.size = 4096;
    ASSERT_EQ(kernel_.call(FUSE_READ, kept_, raw(in)).bytes, bytes_);
  }

  const std::string bytes_ = "what stays as it is";
  SlotMemory slots_ = SlotMemory::create().value();
  MountHarness mount_;
  FakeKernel kernel_;
  std::unique_ptr<FuseServer> server_;
  Number directory_ = 0, file_ = 0, kept_ = 0;
  int carried_out_ = 0, failed_ = 0, refused_ = 0;
};

TEST_F(DamagedFuseTest, IsRefusedAndDisturbsNobody) {
  Damage damage(directory_, file_);
  const int wanted = wanted_requests();
  for (int number = 0; number < wanted; ++number) {
    uint64_t unique = kFirstUnique + 2 * static_cast<uint64_t>(number);
    auto message = damage.request(unique);
    // Nothing at all is the end of the connection.
    if (message.empty()) continue;
    send(unique, message);
    if (!HasFatalFailure()) expect_good();
    ASSERT_FALSE(HasFailure()) << "after request " << number << ": "
                               << ::testing::PrintToString(message.substr(0, 200));
  }
  std::printf("[ drill    ] damaged FUSE requests: %d; refused with EIO %d, another error %d, carried out %d\n", wanted,
              refused_, failed_, carried_out_);
  EXPECT_GT(refused_, wanted / 8);
  EXPECT_GT(failed_, wanted / 50);
  EXPECT_GT(carried_out_, 0) << "some are good still";
}

// `touch -d @90000000000000000`: a kernel does send that.
TEST_F(DamagedFuseTest, ATimeThatIsTooLateIsTheLastOne) {
  fuse_setattr_in in{};
  in.valid = FATTR_MTIME;
  for (int64_t seconds : {int64_t{90'000'000'000'000'000}, INT64_MAX, -int64_t{90'000'000'000'000'000}, INT64_MIN}) {
    in.mtime = static_cast<uint64_t>(seconds);
    auto answer = kernel_.call(FUSE_SETATTR, directory_, raw(in));
    ASSERT_EQ(answer.error, 0);
    auto shown = static_cast<int64_t>(answer.as<fuse_attr_out>().attr.mtime);
    EXPECT_GT(seconds > 0 ? shown : -shown, 9'223'372'000) << seconds;
  }
}

}  // namespace hitfs::fs
