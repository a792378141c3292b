// The server without a kernel: what it says in INIT, what it does with a dead server's slots, many threads at once.
#include "fs/edge/fuse_server.h"

#include <gtest/gtest.h>
#include <poll.h>

#include "fs/slots/reference_table.h"
#include "fs/slots/request_counters.h"
#include "tests/support/disk_filesystem.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/temp_dir.h"

namespace hitfs::fs {

namespace {

using testing::FakeKernel;
using testing::raw;
using testing::text;

constexpr uint32_t kEverything = ~uint32_t{0} & ~static_cast<uint32_t>(FUSE_INIT_EXT);

// One server with its Filesystem; ends after its kernel.
struct Life {
  Life(const std::filesystem::path& folder, SlotMemory& slots, int device)
      : references(slots), filesystem({folder}, references) {
    FuseServerOptions options{.fuse_fd = device};
    server = std::move(FuseServer::create(options, slots, filesystem).value());
  }
  ~Life() { filesystem.release(); }
  ReferenceTable references;
  testing::DiskFilesystem filesystem;
  std::unique_ptr<FuseServer> server;
};

class FuseServerTest : public ::testing::Test {
 protected:
  FuseServerTest() : slots_(SlotMemory::create().value()) {}
  void TearDown() override {
    kernel_->cut();
    life_.reset();
  }
  void begin() { life_ = std::make_unique<Life>(folder_.path(), slots_, kernel_->device()); }
  // A server up to the end of INIT.
  void serve(uint32_t flags = kEverything) {
    begin();
    init_ = kernel_->send_init(flags);
    auto started = life_->server->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  // The server before dies where it stands, for all that its slots tell: the kernel's side is cut, so it can end.
  void die() {
    kernel_->cut();
    life_.reset();
    kernel_ = std::make_unique<FakeKernel>(10'000);
  }
  // A reply is sent a moment before its slot is free.
  void wait_until_free() const {
    while (!slots_.slots_in_use().empty()) std::this_thread::yield();
  }
  // What a server that died left in a slot.
  fuse_in_header& leave(SlotIndex slot, uint32_t opcode, uint64_t unique, uint64_t number,
                        const std::string& arguments) {
    slots_.prepare(slot);
    auto message = FakeKernel::request(unique, opcode, number, arguments);
    std::memcpy(slots_.payload(slot).data(), message.data(), message.size());
    return slots_.request(slot);
  }
  static std::string mkdir_arguments(const std::string& name) {
    fuse_mkdir_in in{};
    in.mode = 0755;
    return raw(in) + text(name);
  }

  testing::TempDir folder_;
  SlotMemory slots_;
  std::unique_ptr<FakeKernel> kernel_ = std::make_unique<FakeKernel>();
  std::unique_ptr<Life> life_;
  uint64_t init_ = 0;
};

}  // namespace

TEST_F(FuseServerTest, InitAsksForWhatIsSafeAndNothingElse) {
  serve();
  auto out = kernel_->answer(init_)->as<fuse_init_out>();
  for (uint32_t wanted : {FUSE_PARALLEL_DIROPS, FUSE_HANDLE_KILLPRIV_V2, FUSE_DO_READDIRPLUS, FUSE_CACHE_SYMLINKS,
                          FUSE_MAX_PAGES, FUSE_ASYNC_READ}) {
    EXPECT_EQ(out.flags & wanted, wanted);
  }
  for (uint32_t refused :
       {FUSE_ATOMIC_O_TRUNC, FUSE_WRITEBACK_CACHE, FUSE_EXPORT_SUPPORT, FUSE_SPLICE_READ, FUSE_READDIRPLUS_AUTO,
        FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS, FUSE_DONT_MASK, FUSE_HANDLE_KILLPRIV, FUSE_AUTO_INVAL_DATA}) {
    EXPECT_EQ(out.flags & refused, 0u) << refused;
  }
  EXPECT_EQ(out.max_write, 1u << 20);
}

TEST_F(FuseServerTest, InitAsksOnlyForWhatAnOlderKernelOffers) {
  serve(FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_DO_READDIRPLUS);
  auto out = kernel_->answer(init_)->as<fuse_init_out>();
  EXPECT_EQ(out.flags & (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_CACHE_SYMLINKS), 0u);
}

TEST_F(FuseServerTest, TheNextServerRepeatsTheSameInit) {
  serve();
  auto first = kernel_->answer(init_)->bytes;
  die();
  begin();
  ASSERT_TRUE(life_->server->start());
  EXPECT_EQ(kernel_->answer(init_)->bytes, first);
  fuse_getattr_in in{};
  EXPECT_EQ(kernel_->call(FUSE_GETATTR, 1, raw(in)).error, 0);
}

TEST_F(FuseServerTest, AnInitThatWasReadAndNotAnsweredIsAnswered) {
  fuse_init_in init{};
  init.major = FUSE_KERNEL_VERSION;
  init.minor = 36;
  init.flags = kEverything;
  leave(2, FUSE_INIT, 4, 0, raw(init));
  begin();
  ASSERT_TRUE(life_->server->start());
  EXPECT_EQ(kernel_->answer(4)->as<fuse_init_out>().major, static_cast<uint32_t>(FUSE_KERNEL_VERSION));
}

TEST_F(FuseServerTest, AnotherFirstRequestIsRefused) {
  begin();
  kernel_->ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
  auto started = life_->server->start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("unmount"), std::string::npos);
}

TEST_F(FuseServerTest, AStoredReplyIsSentAgainAndTheRequestNotCarriedOut) {
  serve();
  die();
  leave(1, FUSE_MKDIR, 100, 1, mkdir_arguments("d"));
  fuse_out_header out{sizeof(out), -EEXIST, 100};  // anything recognisable
  std::array<std::span<const std::byte>, 1> pieces{std::as_bytes(std::span(&out, 1))};
  ASSERT_TRUE(slots_.store_reply(1, pieces));
  begin();
  ASSERT_TRUE(life_->server->start());
  EXPECT_EQ(kernel_->answer(100)->error, -EEXIST);
  EXPECT_EQ(kernel_->call(FUSE_LOOKUP, 1, text("d")).error, -ENOENT);
  EXPECT_EQ(count_requests(slots_).resent, 1u);
  EXPECT_EQ(kernel_->answers(100), 1);
}

TEST_F(FuseServerTest, AnUnansweredRequestIsCarriedOutOnce) {
  serve();
  die();
  leave(1, FUSE_MKDIR, 100, 1, mkdir_arguments("d"));
  // A death while it was parked: the same request in two slots.
  leave(3, FUSE_LOOKUP, 102, 1, text("absent"));
  leave(format::kLargeSlots + 5, FUSE_LOOKUP, 102, 1, text("absent"));
  begin();
  ASSERT_TRUE(life_->server->start());
  EXPECT_EQ(kernel_->answer(100)->error, 0);
  EXPECT_EQ(kernel_->answer(102)->error, -ENOENT);
  EXPECT_EQ(kernel_->call(FUSE_LOOKUP, 1, text("d")).error, 0);
  EXPECT_EQ(kernel_->answers(102), 1);
  EXPECT_EQ(count_requests(slots_).settled, 2u);
  wait_until_free();
}

TEST_F(FuseServerTest, ARequestThatBroughtTwoServersDownIsGivenUp) {
  serve();
  die();
  leave(1, FUSE_LOOKUP, 100, 1, text("crash-1"));
  slots_.descriptor(1).crashes = 2;
  begin();
  ASSERT_TRUE(life_->server->start());
  EXPECT_EQ(kernel_->answer(100)->error, -EIO);
  wait_until_free();
}

TEST_F(FuseServerTest, ForgetsOfADeadServerCount) {
  serve();
  auto made = kernel_->call(FUSE_MKDIR, 1, mkdir_arguments("d")).as<fuse_entry_out>();
  EXPECT_EQ(life_->references.count(made.nodeid), 1u);
  die();
  leave(0, FUSE_FORGET, 0, made.nodeid, raw(fuse_forget_in{1}));
  begin();
  ASSERT_TRUE(life_->server->start());
  EXPECT_EQ(life_->references.count(made.nodeid), 0u);
}

TEST_F(FuseServerTest, AnInterruptReachesWhoWaitsAndIsAskedForAgainElsewhere) {
  serve();
  auto waiting = kernel_->ask(FUSE_LOOKUP, 1, text("parked-1"));
  // Until the lookup is known the answer is "again", as the kernel expects it.
  for (uint64_t interrupt = waiting | 1;;) {
    kernel_->ask_as(interrupt, FUSE_INTERRUPT, 0, raw(fuse_interrupt_in{waiting}));
    fuse_getattr_in in{};
    kernel_->call(FUSE_GETATTR, 1, raw(in));
    if (kernel_->answers(waiting) > 0) break;
  }
  EXPECT_EQ(kernel_->answer(waiting)->error, -EINTR);
  kernel_->ask_as(5001, FUSE_INTERRUPT, 0, raw(fuse_interrupt_in{5000}));
  EXPECT_EQ(kernel_->answer(5001)->error, -EAGAIN);
}

TEST_F(FuseServerTest, AnUnknownOperationIsNotImplemented) {
  serve();
  EXPECT_EQ(kernel_->call(FUSE_IOCTL, 1, raw(fuse_ioctl_in{})).error, -ENOSYS);
  EXPECT_EQ(kernel_->call(60, 1, "").error, -ENOSYS);
  EXPECT_EQ(kernel_->call(FUSE_OPEN, 1, raw(fuse_open_in{})).error, -ENOSYS);
  EXPECT_EQ(kernel_->call(FUSE_OPENDIR, 1, raw(fuse_open_in{})).error, -ENOSYS);
  EXPECT_EQ(kernel_->call(FUSE_GETXATTR, 1, raw(fuse_getxattr_in{}) + text("user.x")).error, -ENOSYS);
}

TEST_F(FuseServerTest, QuiescingAnswersWhatRunsAndBeginsNothing) {
  serve();
  ASSERT_EQ(kernel_->call(FUSE_LOOKUP, 1, text("absent")).error, -ENOENT);
  auto parked = kernel_->ask(FUSE_LOOKUP, 1, text("parked-1"));
  while (slots_.slots_in_use().empty() || count_requests(slots_).parked == 0) std::this_thread::yield();
  life_->server->quiesce(Deadline::after(std::chrono::seconds(5)));
  auto later = kernel_->ask(FUSE_LOOKUP, 1, text("absent"));
  while (slots_.slots_in_use().size() < 2) std::this_thread::yield();
  EXPECT_EQ(kernel_->answers(parked), 0);
  EXPECT_EQ(kernel_->answers(later), 0);
}

TEST_F(FuseServerTest, ManyThreadsAreAnsweredOnceEach) {
  serve();
  constexpr int kThreads = 6;
  constexpr int kRounds = 200;
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int round = 0; round < kRounds; ++round) {
          auto name = std::to_string(t) + "-" + std::to_string(round);
          auto made = kernel_->call(FUSE_MKDIR, 1, mkdir_arguments(name));
          auto late = kernel_->ask(FUSE_LOOKUP, 1, text("late-" + name));
          auto found = kernel_->call(FUSE_LOOKUP, 1, text(name));
          auto same = made.as<fuse_entry_out>().nodeid == found.as<fuse_entry_out>().nodeid;
          if (made.error != 0 || found.error != 0 || !same) ++wrong;
          if (kernel_->answer(late)->error != -ENOENT) ++wrong;
          auto gone = found.as<fuse_entry_out>().nodeid;
          kernel_->ask_as(0, FUSE_FORGET, gone, raw(fuse_forget_in{2}));
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  auto held = [&] {
    uint64_t sum = 0;
    for (const auto& reference : slots_.references()) sum += reference.count;
    return sum;
  };
  // Nobody waits for a forget: the last ones may still lie in the queue.
  EXPECT_TRUE(testing::eventually([&] { return held() == 0; })) << held();
}

TEST_F(FuseServerTest, TellsWhenItsKernelIsGone) {
  serve();
  pollfd gone{life_->server->gone_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&gone, 1, 0), 0);
  kernel_->cut();
  EXPECT_EQ(::poll(&gone, 1, 10'000), 1);
}

}  // namespace hitfs::fs
