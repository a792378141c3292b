#include "fs/slots/slots.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <set>

#include "fs/edge/in_flight.h"
#include "fs/slots/request_counters.h"
#include "fs/slots/stall_detector.h"
#include "tests/support/fake_clock.h"

namespace hitfs::fs {

namespace {

class SlotsTest : public ::testing::Test {
 protected:
  SlotsTest() : memory_(SlotMemory::create().value()) {}

  // What read(2) would leave in the slot.
  void fill(SlotIndex slot, uint32_t opcode, uint64_t unique, std::string_view name = "name") {
    memory_.prepare(slot);
    auto room = memory_.payload(slot);
    fuse_in_header header{};
    header.len = static_cast<uint32_t>(sizeof(header) + name.size() + 1);
    header.opcode = opcode;
    header.unique = unique;
    header.nodeid = 7;
    std::memcpy(room.data() + sizeof(header), name.data(), name.size());
    room[sizeof(header) + name.size()] = std::byte{0};
    std::memcpy(room.data(), &header, sizeof(header));
  }
  std::string name_in(SlotIndex slot) {
    return reinterpret_cast<const char*>(memory_.request_bytes(slot).data() + sizeof(fuse_in_header));
  }

  SlotMemory memory_;
};

constexpr SlotIndex kSmall = format::kLargeSlots;

}  // namespace

TEST_F(SlotsTest, ASlotIsInUseByItsContent) {
  EXPECT_TRUE(memory_.slots_in_use().empty());
  fill(0, FUSE_LOOKUP, 4);
  fill(kSmall + 9, FUSE_LOOKUP, 6);
  EXPECT_EQ(memory_.slots_in_use(), (std::vector<SlotIndex>{0, kSmall + 9}));
  memory_.clear(0);
  EXPECT_FALSE(memory_.in_use(0));
  EXPECT_EQ(name_in(kSmall + 9), "name");
}

TEST_F(SlotsTest, AnotherProcessSeesTheSameSlots) {
  fill(3, FUSE_MKDIR, 8, "folder");
  std::array<std::byte, 16> reply{std::byte{42}};
  std::array<std::span<const std::byte>, 1> pieces{reply};
  ASSERT_TRUE(memory_.store_reply(3, pieces));
  auto other = SlotMemory::attach(memory_.descriptor(), SlotMemory::Pages::resident);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->slots_in_use(), std::vector<SlotIndex>{3});
  EXPECT_EQ(other->request(3).unique, 8u);
  ASSERT_EQ(other->stored_reply(3).size(), 16u);
  EXPECT_EQ(other->stored_reply(3)[0], std::byte{42});
}

TEST_F(SlotsTest, AnotherVersionIsRefusedWithTheRemedy) {
  memory_.header().version = 99;
  auto refused = SlotMemory::attach(memory_.descriptor(), SlotMemory::Pages::lazy);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid_argument);
  EXPECT_NE(refused.error().message.find("mount it again"), std::string::npos);
}

TEST_F(SlotsTest, WhatAWildWorkerLeftOfInitIsRefused) {
  auto attach = [&] { return SlotMemory::attach(memory_.descriptor(), SlotMemory::Pages::lazy); };
  for (uint32_t bytes : {uint32_t{1}, uint32_t{55}, uint32_t{format::kInitBytes + 1}, ~uint32_t{0}}) {
    memory_.header().init_bytes = bytes;
    auto refused = attach();
    ASSERT_FALSE(refused) << bytes;
    EXPECT_EQ(refused.error().code, Code::corrupt);
  }
  memory_.header().init_bytes = 104;
  memory_.header().init_reply_bytes = format::kInitBytes + 1;
  EXPECT_FALSE(attach());
  memory_.header().init_reply_bytes = 80;
  EXPECT_TRUE(attach());
}

TEST_F(SlotsTest, ARequestWithoutALengthIsAHeaderAndNoMore) {
  fill(2, FUSE_LOOKUP, 4);
  memory_.request(2).len = 0;
  EXPECT_EQ(memory_.request_bytes(2).size(), sizeof(fuse_in_header));
  memory_.move(2, kSmall);
  EXPECT_FALSE(memory_.in_use(2));
  EXPECT_EQ(memory_.request(kSmall).unique, 4u);
}

TEST_F(SlotsTest, ATimeThatCannotBeCountsFromTheFirstLook) {
  testing::FakeClock clock;
  StallDetector detector(memory_, -1, Milliseconds(6000), clock);
  for (int64_t since : {INT64_MIN, int64_t{-1}, INT64_MAX}) {
    fill(1, FUSE_GETATTR, 4);
    memory_.descriptor(1).since_ns = since;
    EXPECT_EQ(detector.stalled_for(), Milliseconds(0));
    clock.advance(std::chrono::seconds(6));
    EXPECT_EQ(detector.stalled_for(), Milliseconds(6000));
  }
}

TEST_F(SlotsTest, ALongReplyIsNotStored) {
  std::vector<std::byte> reply(format::kReplyBytes + 1);
  std::array<std::span<const std::byte>, 1> pieces{reply};
  EXPECT_FALSE(memory_.store_reply(0, pieces));
  EXPECT_TRUE(memory_.stored_reply(0).empty());
}

TEST_F(SlotsTest, PreparingForgetsTheRequestBefore) {
  fill(0, FUSE_LOOKUP, 4);
  memory_.descriptor(0).crashes = 1;
  std::array<std::byte, 16> reply{};
  std::array<std::span<const std::byte>, 1> pieces{reply};
  ASSERT_TRUE(memory_.store_reply(0, pieces));
  memory_.prepare(0);
  EXPECT_FALSE(memory_.in_use(0));
  EXPECT_TRUE(memory_.stored_reply(0).empty());
  EXPECT_EQ(memory_.descriptor(0).crashes, 0u);
}

TEST_F(SlotsTest, MovingKeepsTheRequestAndItsHistory) {
  fill(2, FUSE_LOOKUP, 10, "waits");
  memory_.descriptor(2).crashes = 1;
  memory_.move(2, kSmall);
  EXPECT_EQ(memory_.slots_in_use(), std::vector<SlotIndex>{kSmall});
  EXPECT_EQ(name_in(kSmall), "waits");
  EXPECT_EQ(memory_.request(kSmall).nodeid, 7u);
  EXPECT_EQ(memory_.descriptor(kSmall).crashes, 1u);
}

TEST_F(SlotsTest, GivingUpAnswersEverySlot) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  UniqueFd ours(ends[0]), kernel(ends[1]);
  fill(0, FUSE_WRITE, 4);
  fill(kSmall, FUSE_LOOKUP, 6);
  memory_.fail_all(ours.get());
  fuse_out_header out{};
  ASSERT_EQ(::recv(kernel.get(), &out, sizeof(out), 0), static_cast<ssize_t>(sizeof(out)));
  EXPECT_EQ(out.unique, 4u);
  EXPECT_EQ(out.error, -EIO);
  ASSERT_EQ(::recv(kernel.get(), &out, sizeof(out), 0), static_cast<ssize_t>(sizeof(out)));
  EXPECT_EQ(out.unique, 6u);
  EXPECT_EQ(out.error, -ENOENT);
  EXPECT_TRUE(memory_.slots_in_use().empty());
}

TEST_F(SlotsTest, ASlotIsFreeOnlyWhenAnsweredAndItsHandlerReturned) {
  InFlight in_flight(memory_);
  std::set<SlotIndex> taken;
  for (uint32_t i = 0; i < format::kLargeSlots; ++i) taken.insert(*in_flight.take_large({}));
  EXPECT_EQ(taken.size(), format::kLargeSlots);
  std::stop_source stop;
  stop.request_stop();

  fill(5, FUSE_WRITE, 4);
  in_flight.begin(4, 5);
  ASSERT_EQ(in_flight.claim(4), SlotIndex{5});
  EXPECT_FALSE(in_flight.claim(4)) << "only one may answer";
  in_flight.complete(4);
  EXPECT_FALSE(memory_.in_use(5));
  EXPECT_FALSE(in_flight.take_large(stop.get_token())) << "its handler still looks at it";
  EXPECT_FALSE(in_flight.finish(4, 5).unanswered);
  EXPECT_EQ(in_flight.take_large({}), SlotIndex{5});

  // The other order: the handler returns while the reply is being sent.
  fill(5, FUSE_WRITE, 6);
  in_flight.begin(6, 5);
  ASSERT_EQ(in_flight.claim(6), SlotIndex{5});
  EXPECT_FALSE(in_flight.finish(6, 5).unanswered);
  EXPECT_FALSE(in_flight.take_large(stop.get_token())) << "its reply is not sent yet";
  in_flight.complete(6);
  EXPECT_EQ(in_flight.take_large({}), SlotIndex{5});
}

TEST_F(SlotsTest, AnUnansweredRequestMovesToASmallSlot) {
  InFlight in_flight(memory_);
  auto large = *in_flight.take_large({});
  fill(large, FUSE_LOOKUP, 4, "waits");
  in_flight.begin(4, large);
  EXPECT_TRUE(in_flight.interrupt(4));
  auto finished = in_flight.finish(4, large);
  EXPECT_TRUE(finished.unanswered);
  EXPECT_TRUE(finished.interrupted);
  EXPECT_FALSE(finished.no_room);
  EXPECT_FALSE(memory_.in_use(large));
  EXPECT_TRUE(in_flight.waits_in(7));
  EXPECT_EQ(count_requests(memory_).parked, 1u);
  auto slot = in_flight.claim(4);
  ASSERT_TRUE(slot);
  EXPECT_FALSE(SlotMemory::is_large(*slot));
  EXPECT_EQ(name_in(*slot), "waits");
  EXPECT_FALSE(in_flight.waits_in(7));
  in_flight.complete(4);
  EXPECT_TRUE(memory_.slots_in_use().empty());
  EXPECT_FALSE(in_flight.interrupt(4));
}

TEST_F(SlotsTest, MoreWaitingRequestsThanSlotsAreTold) {
  InFlight in_flight(memory_);
  for (uint64_t unique = 2; unique < 2 * (format::kSmallSlots + 1); unique += 2) {
    auto large = *in_flight.take_large({});
    fill(large, FUSE_LOOKUP, unique);
    in_flight.begin(unique, large);
    ASSERT_FALSE(in_flight.finish(unique, large).no_room);
  }
  auto large = *in_flight.take_large({});
  fill(large, FUSE_LOOKUP, 1'000'000);
  in_flight.begin(1'000'000, large);
  auto finished = in_flight.finish(1'000'000, large);
  EXPECT_TRUE(finished.unanswered);
  EXPECT_TRUE(finished.no_room);
  EXPECT_TRUE(memory_.in_use(large));
  ASSERT_TRUE(in_flight.claim(1'000'000));
  in_flight.complete(1'000'000);
  EXPECT_FALSE(memory_.in_use(large));
}

}  // namespace hitfs::fs
