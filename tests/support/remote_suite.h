#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "sync/remotes/remote.h"
#include "tests/support/memory_entry.h"

// What every remote promises, run against a real server or folder of each kind. Include it in one source file of a test
// binary and say INSTANTIATE_TEST_SUITE_P(Name, RemoteSuite, ::testing::Values(...)).
namespace hitfs::testing {

// A remote and the server behind it, empty at first; everything goes with the object.
class RemoteUnderTest {
 public:
  virtual ~RemoteUnderTest() = default;
  // Another connection to the same server, as another machine has it.
  virtual std::unique_ptr<Remote> open() = 0;
  [[nodiscard]] virtual bool can_remove() const = 0;
};

struct RemoteSuiteParameter {
  std::string name;
  std::function<std::unique_ptr<RemoteUnderTest>()> make;
  friend std::ostream& operator<<(std::ostream& out, const RemoteSuiteParameter& it) { return out << it.name; }
};

class RemoteSuite : public ::testing::TestWithParam<RemoteSuiteParameter> {
 protected:
  RemoteSuite() : under_test_(GetParam().make()), remote_(under_test_->open()) {}

  Status fetch(Remote& remote, const RemoteKey& key, MemoryWriter& into) {
    RemoteCall call(Deadline::after(std::chrono::seconds(60)));
    return remote.fetch(key, into, call);
  }
  Result<StoreResult> store(Remote& remote, const RemoteKey& key, const std::string& bytes) {
    RemoteCall call(Deadline::after(std::chrono::seconds(60)));
    MemoryEntry entry(bytes);
    return remote.store(key, entry, call);
  }
  bool contains(const RemoteKey& key) {
    RemoteCall call(Deadline::after(std::chrono::seconds(60)));
    auto answer = remote_->contains(key, call);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer && *answer;
  }
  void expect_round_trip(const RemoteKey& key, const std::string& bytes) {
    auto stored = store(*remote_, key, bytes);
    ASSERT_TRUE(stored) << stored.error().message;
    EXPECT_EQ(*stored, StoreResult::stored);
    MemoryWriter writer;
    auto fetched = fetch(*under_test_->open(), key, writer);
    ASSERT_TRUE(fetched) << fetched.error().message;
    EXPECT_EQ(writer.announced, bytes.size());
    EXPECT_TRUE(writer.bytes == bytes) << writer.bytes.size() << " other bytes";
  }
  RemoteKey key(const std::string& name) { return remote_key(*remote_, name); }

  std::unique_ptr<RemoteUnderTest> under_test_;
  std::unique_ptr<Remote> remote_;
};

TEST_P(RemoteSuite, KeepsNoByteAndOneByte) {
  expect_round_trip(key("1000"), "");
  expect_round_trip(key("1001"), std::string(1, '\0'));
}

TEST_P(RemoteSuite, KeepsEightMebibytesOfAnyByte) {
  std::string bytes(8 << 20, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>((i * 2654435761u) >> 13);
  expect_round_trip(key("1002"), bytes);
}

TEST_P(RemoteSuite, KeepsNamesOfEveryScopeApart) {
  auto opaque = RemoteKey::of(Key{"pr/1", "flat", "1003"}, 7, remote_->own_space());
  expect_round_trip(opaque, "of a pull request");
  expect_round_trip(key("1003"), "of main");
}

TEST_P(RemoteSuite, WhatIsNotThereIsAMiss) {
  MemoryWriter writer;
  auto fetched = fetch(*remote_, key("1004"), writer);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::not_found);
  EXPECT_EQ(writer.started, 0);
  EXPECT_FALSE(contains(key("1004")));
}

TEST_P(RemoteSuite, ContainsWhatWasStored) {
  ASSERT_TRUE(store(*remote_, key("1005"), std::string(1 << 20, 'x')));
  EXPECT_TRUE(contains(key("1005")));
  EXPECT_FALSE(contains(key("1006")));
}

TEST_P(RemoteSuite, TheFirstStoreWins) {
  ASSERT_TRUE(store(*remote_, key("1007"), "first"));
  for (const char* bytes : {"first", "second"}) {
    auto again = store(*remote_, key("1007"), bytes);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, StoreResult::already_there);
  }
  MemoryWriter writer;
  ASSERT_TRUE(fetch(*remote_, key("1007"), writer));
  EXPECT_EQ(writer.bytes, "first");
}

TEST_P(RemoteSuite, WritersOfOneKeyLeaveOneWholeEntry) {
  constexpr int kWriters = 4;
  constexpr size_t kBytes = 1 << 20;
  std::vector<std::thread> writers;
  std::atomic<int> succeeded{0};
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      auto remote = under_test_->open();
      succeeded += store(*remote, key("1008"), std::string(kBytes, static_cast<char>('a' + i))).has_value();
    });
  }
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(succeeded, kWriters);
  MemoryWriter result;
  ASSERT_TRUE(fetch(*remote_, key("1008"), result));
  ASSERT_EQ(result.bytes.size(), kBytes);
  EXPECT_EQ(result.bytes, std::string(kBytes, result.bytes[0]));
}

TEST_P(RemoteSuite, AStoreThatIsCutNeverAppears) {
  for (size_t cut : {size_t{0}, size_t{1}, size_t{300'000}}) {
    RemoteCall call(Deadline::after(std::chrono::seconds(60)));
    MemoryEntry entry(std::string(400'000, 'x'), cut);
    auto stored = remote_->store(key("1009"), entry, call);
    ASSERT_FALSE(stored) << cut;
    EXPECT_EQ(stored.error().code, Code::corrupt) << stored.error().message;
  }
  EXPECT_FALSE(contains(key("1009")));
  expect_round_trip(key("1009"), "whole");
}

TEST_P(RemoteSuite, TheWritersErrorEndsAFetch) {
  ASSERT_TRUE(store(*remote_, key("1010"), std::string(1 << 20, 'x')));
  MemoryWriter full;
  full.fail_at = 1000;
  auto fetched = fetch(*remote_, key("1010"), full);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::no_space);
  MemoryWriter refusing;
  refusing.refuse_artifact = Error{Code::no_space, "too large"};
  fetched = fetch(*remote_, key("1010"), refusing);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::no_space);
  EXPECT_EQ(refusing.bytes, "");
}

TEST_P(RemoteSuite, RefusesNamesThatLeadElsewhere) {
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string("../1007"),
                                  std::string("a/b"), std::string("a\0b", 3)}) {
    RemoteCall call(Deadline::after(std::chrono::seconds(60)));
    RemoteKey bad{Key{"", "nx", name}, true, name};
    MemoryWriter writer;
    auto fetched = remote_->fetch(bad, writer, call);
    ASSERT_FALSE(fetched) << name;
    EXPECT_EQ(fetched.error().code, Code::invalid_argument) << name;
    MemoryEntry entry("x");
    auto stored = remote_->store(bad, entry, call);
    ASSERT_FALSE(stored) << name;
    EXPECT_EQ(stored.error().code, Code::invalid_argument) << name;
  }
}

TEST_P(RemoteSuite, GivesUpAtOnceWhenTimeIsUpOrStopIsAsked) {
  ASSERT_TRUE(store(*remote_, key("1011"), "x"));
  std::stop_source stop;
  stop.request_stop();
  RemoteCall late(Deadline::after(Nanoseconds(0)));
  RemoteCall stopped(Deadline::never(), stop.get_token());
  for (auto* call : {&late, &stopped}) {
    MemoryWriter writer;
    auto fetched = remote_->fetch(key("1011"), writer, *call);
    ASSERT_FALSE(fetched);
    EXPECT_EQ(fetched.error().code, Code::unavailable);
    EXPECT_EQ(call->trouble, Trouble::cancelled);
    MemoryEntry entry("x");
    EXPECT_FALSE(remote_->store(key("1012"), entry, *call));
    EXPECT_FALSE(remote_->contains(key("1011"), *call));
  }
  EXPECT_FALSE(contains(key("1012")));
}

TEST_P(RemoteSuite, TellsHowMuchItMoved) {
  RemoteCall up, down;
  MemoryEntry entry(std::string(500'000, 'x'));
  MemoryWriter writer;
  ASSERT_TRUE(remote_->store(key("1013"), entry, up));
  ASSERT_TRUE(remote_->fetch(key("1013"), writer, down));
  EXPECT_EQ(up.times.bytes, 500'000u);
  EXPECT_EQ(down.times.bytes, 500'000u);
  EXPECT_EQ(down.trouble, Trouble::none);
  EXPECT_EQ(down.waiting_since, 0);
}

TEST_P(RemoteSuite, RemovesOrSaysThatItCannot) {
  ASSERT_TRUE(store(*remote_, key("1014"), "x"));
  RemoteCall call(Deadline::after(std::chrono::seconds(60)));
  auto removed = remote_->remove(key("1014"), call);
  EXPECT_EQ(removed.has_value(), under_test_->can_remove());
  EXPECT_TRUE(removed || removed.error().code == Code::invalid_argument);
  EXPECT_EQ(contains(key("1014")), !under_test_->can_remove());
}

}  // namespace hitfs::testing
