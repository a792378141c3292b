// Readers beside a writer: in other threads, in other processes, without one, and after its violent end.

#include "store/store_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "store/base/io.h"
#include "store/entry_store.h"
#include "store/push_queue.h"
#include "tests/store/store_helpers.h"

namespace hitfs {
namespace {

using testing::bytes_of;
using testing::FastTempDir;
using testing::Files;
using testing::flat;
using testing::put_artifact;
using testing::put_tree;
using testing::read_blob;
using testing::read_tree;
using testing::why;

class StoreReaderTest : public ::testing::Test {
 protected:
  std::unique_ptr<EntryStore> open(const EntryStore::Options& options = {}) {
    auto opened = EntryStore::open(paths_, options);
    EXPECT_TRUE(opened) << why(opened);
    return opened ? *std::move(opened) : nullptr;
  }
  std::unique_ptr<StoreReader> reader() {
    auto opened = StoreReader::open(paths_);
    EXPECT_TRUE(opened) << why(opened);
    return opened ? *std::move(opened) : nullptr;
  }

  FastTempDir dir_;
  StorePaths paths_{dir_ / "store"};
};

TEST_F(StoreReaderTest, AFolderWithoutAStoreIsNamedWithTheRemedy) {
  auto none = StoreReader::open(StorePaths{paths_.root / "none"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::not_found);
  EXPECT_NE(none.error().message.find("hitfs start"), std::string::npos) << none.error().message;
}

TEST_F(StoreReaderTest, WorksWithoutADaemonAndAcrossItsRestarts) {
  auto store = open();
  ASSERT_TRUE(put_tree(*store, flat("a"), {{"f", "1"}}));
  auto early = reader();
  ASSERT_TRUE(early->find(flat("a")));
  store.reset();
  EXPECT_EQ(read_tree(*early, flat("a"))->at("f"), "1") << "after a clean close";
  auto late = reader();
  EXPECT_EQ(read_tree(*late, flat("a"))->at("f"), "1") << "opened without a daemon";
  store = open();
  ASSERT_TRUE(put_tree(*store, flat("b"), {{"f", "2"}}));
  EXPECT_EQ(read_tree(*early, flat("b"))->at("f"), "2");
  EXPECT_EQ(read_tree(*late, flat("b"))->at("f"), "2");
}

TEST_F(StoreReaderTest, WorksAfterTheDaemonWasKilledInATransaction) {
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  pid_t child = ::fork();
  if (child == 0) {
    // Reports from inside of a transaction, then waits to be killed there.
    class Stop final : public io::FaultInjector {
     public:
      explicit Stop(int fd) : fd_(fd) {}
      Status before(const Step& step) override {
        if (!armed || step.op != io::Op::transaction) return Ok{};
        if (::write(fd_, "x", 1) != 1) ::_exit(1);
        while (true) ::pause();
      }
      void after(const Step& /*step*/, bool /*succeeded*/) override {}
      bool armed = false;

     private:
      int fd_;
    } stop(ready[1]);
    io::install_fault_injector(&stop);
    auto store = open();
    if (!put_tree(*store, flat("a"), {{"f", "1"}})) ::_exit(1);
    stop.armed = true;
    (void)put_tree(*store, flat("b"), {{"f", "2"}});
    ::_exit(1);
  }
  ::close(ready[1]);
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  auto beside = reader();
  EXPECT_EQ(read_tree(*beside, flat("a"))->at("f"), "1") << "beside the open transaction";
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));

  EXPECT_EQ(read_tree(*beside, flat("a"))->at("f"), "1");
  auto after = reader();
  EXPECT_EQ(read_tree(*after, flat("a"))->at("f"), "1");
  EXPECT_EQ(after->find(flat("b")).error().code, Code::not_found);
  auto store = open();
  ASSERT_TRUE(put_tree(*store, flat("b"), {{"f", "2"}}));
  EXPECT_EQ(read_tree(*beside, flat("b"))->at("f"), "2");
  store.reset();
  EXPECT_SOUND(paths_);
}

TEST_F(StoreReaderTest, LocateGivesTheFileAndTheOffset) {
  auto store = open();
  ASSERT_TRUE(put_tree(*store, flat("a"), {{"1", "first"}, {"2", "second"}, {"3", bytes_of(100'000, 1)}, {"4", ""}}));
  auto front = reader();
  for (const std::string& bytes : {std::string("first"), std::string("second"), bytes_of(100'000, 1), std::string()}) {
    auto location = front->locate(Digest::of(io::as_bytes(bytes)));
    ASSERT_TRUE(location) << why(location);
    std::string read(bytes.size(), '\0');
    auto got = io::read_at(location->file.get(), std::as_writable_bytes(std::span(read)), location->offset);
    ASSERT_TRUE(got);
    EXPECT_EQ(read, bytes);
  }
  EXPECT_EQ(front->locate(Digest::of(io::as_bytes("none"))).error().code, Code::not_found);
}

TEST_F(StoreReaderTest, ReadsEndWhereTheBlobEnds) {
  auto store = open();
  ASSERT_TRUE(put_tree(*store, flat("a"), {{"1", "first"}, {"2", "second"}}));
  std::string into(100, '\0');
  auto span = std::as_writable_bytes(std::span(into));
  auto digest = Digest::of(io::as_bytes("first"));
  EXPECT_EQ(*store->reader().read(digest, span, 2), 3u);
  EXPECT_EQ(into.substr(0, 3), "rst");
  EXPECT_EQ(*store->reader().read(digest, span, 5), 0u);
  EXPECT_EQ(*store->reader().read(digest, span, 500), 0u);
  EXPECT_EQ(*store->reader().read(Digest::of({}), span, 0), 0u);
  EXPECT_EQ(store->reader().read(Digest::of(io::as_bytes("none")), span, 0).error().code, Code::not_found);
}

TEST_F(StoreReaderTest, TellsWhatIsRetiredUntilItIsFreed) {
  auto store = open();
  auto first = put_tree(*store, flat("a"), {{"f", "1"}});
  auto second = put_tree(*store, flat("b"), {{"f", "2"}});
  ASSERT_TRUE(first && second && put_tree(*store, flat("c"), {{"f", "3"}}));
  auto front = reader();
  EXPECT_TRUE(front->retired()->empty());
  ASSERT_TRUE(store->retire(second->entry_id, "test"));
  ASSERT_TRUE(store->retire(first->entry_id, "test"));
  auto retired = front->retired();
  ASSERT_TRUE(retired);
  ASSERT_EQ(retired->size(), 2u);
  EXPECT_EQ((*retired)[0].key, flat("a")) << "oldest first";
  EXPECT_EQ((*retired)[1].id, second->entry_id);
  ASSERT_TRUE(store->release(first->entry_id));
  EXPECT_EQ(front->retired()->size(), 1u);
}

TEST_F(StoreReaderTest, AFreedFileIsNotKeptOpen) {
  auto store = open();
  auto committed = put_tree(*store, flat("a"), {{"f", bytes_of(100'000, 1)}});
  auto front = reader();
  auto digest = Digest::of(io::as_bytes(bytes_of(100'000, 1)));
  ASSERT_TRUE(read_blob(*front, digest));
  ASSERT_TRUE(store->retire(committed->entry_id, "test"));
  ASSERT_TRUE(store->release(committed->entry_id));
  ASSERT_TRUE(read_blob(*front, digest)) << "still open here";
  front->forget_freed();
  EXPECT_FALSE(read_blob(*front, digest));
}

TEST_F(StoreReaderTest, MoreFilesThanDescriptorsAreFine) {
  auto store = open();
  Files files;
  for (unsigned i = 0; i < 200; ++i) files["f" + std::to_string(i)] = bytes_of(65536 + i, i);
  ASSERT_TRUE(put_tree(*store, flat("a"), files));
  auto front = reader();
  EXPECT_EQ(*read_tree(*front, flat("a")), files);
  EXPECT_EQ(*read_tree(*front, flat("a")), files);
}

TEST_F(StoreReaderTest, ManyThreadsWriteReplaceReleaseAndRead) {
  constexpr int kWriters = 3;
  constexpr int kRounds = 25;
  auto store = open();
  store->observe({.committed = {}, .retired = [&](const Entry& entry, const std::string& /*why*/) {
                    EXPECT_TRUE(store->release(entry.id)) << entry.id;
                  }});
  std::atomic<bool> stop = false;
  std::atomic<size_t> reads = 0;
  // The bytes of an entry say which key they are of: no reader may ever see others.
  auto files_of = [](int key, int round) {
    auto mark = "key " + std::to_string(key);
    return Files{{"mark", mark},
                 {"shared", bytes_of(70'000, static_cast<unsigned>(round % 3))},
                 {"round", mark + std::to_string(round)}};
  };
  auto write = [&](int writer) {
    for (int round = 0; round < kRounds; ++round) {
      CommitOptions options;
      options.durable = round % 5 == 0;
      options.push_to = {"r"};
      int key = (writer + round) % 4;
      auto done = put_tree(*store, flat("k" + std::to_string(key)), files_of(key, round), options);
      EXPECT_TRUE(done) << why(done);
      auto job = store->push_queue().take("r", PushQueue::Order::smallest_first, 1);
      if (job && *job) {
        EXPECT_TRUE(store->push_queue().done(**job));
      }
    }
  };
  auto read = [&] {
    auto front = reader();
    while (!stop) {
      for (int key = 0; key < 4; ++key) {
        auto files = read_tree(*front, flat("k" + std::to_string(key)));
        // Freed between two of our looks: then it is a miss or damage to us, never other bytes.
        if (!files) continue;
        EXPECT_EQ(files->at("mark"), "key " + std::to_string(key));
        ++reads;
      }
    }
  };
  {
    std::vector<std::jthread> readers;
    for (int i = 0; i < 2; ++i) readers.emplace_back(read);
    {
      std::vector<std::jthread> writers;
      for (int i = 0; i < kWriters; ++i) writers.emplace_back(write, i);
    }
    // At least one whole pass over what is there at the end.
    auto enough = reads + 8;
    while (reads < enough) std::this_thread::yield();
    stop = true;
  }
  EXPECT_EQ(store->stats().entries, 4u);
  EXPECT_EQ(store->stats().retired_entries, 0u);
  store.reset();
  EXPECT_SOUND(paths_);
}

TEST_F(StoreReaderTest, ConcurrentCommitsOfTheSameBytesShareThem) {
  auto store = open();
  auto large = bytes_of(200'000, 5);
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 6; ++i) {
      writers.emplace_back([&, i] {
        CommitOptions options;
        options.durable = i % 2 == 0;
        auto done = put_tree(*store, flat("k" + std::to_string(i)), {{"large", large}, {"small", "tiny"}}, options);
        EXPECT_TRUE(done) << why(done);
      });
    }
  }
  EXPECT_EQ(store->stats().blobs, 2u);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(read_tree(store->reader(), flat("k" + std::to_string(i)))->at("large"), large);
  }
  store.reset();
  EXPECT_SOUND(paths_);
}

TEST_F(StoreReaderTest, ConcurrentCommitsOfOneKeyGiveOneEntry) {
  auto store = open();
  std::atomic<int> committed = 0;
  std::atomic<int> same = 0;
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 6; ++i) {
      writers.emplace_back([&] {
        CommitOptions options;
        options.replace = false;
        auto done = put_artifact(*store, {"", "nx", "1"}, "the same bytes", options);
        ASSERT_TRUE(done) << why(done);
        (done->result == CommitResult::committed ? committed : same) += 1;
      });
    }
  }
  EXPECT_EQ(committed, 1);
  EXPECT_EQ(same, 5);
  EXPECT_EQ(store->stats().entries, 1u);
  store.reset();
  EXPECT_SOUND(paths_);
}

}  // namespace
}  // namespace hitfs
