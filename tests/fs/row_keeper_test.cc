// The thread that changes rows, without a mount.
#include "fs/nx/row_keeper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <future>
#include <thread>
#include <vector>

#include "tests/fs/nx_databases.h"
#include "tests/support/temp_dir.h"

namespace hitfs::fs {
namespace {

class NoNames : public RowSource {
 public:
  bool publish(const std::string&) override { return false; }
  Result<std::set<std::string>> names() override { return std::set<std::string>{}; }
  std::vector<std::string> announced() override { return {}; }
  bool announce(const std::string&) override { return false; }
};

// Everything that is asked for may have a row.
class EveryName : public RowSource {
 public:
  explicit EveryName(std::set<std::string> names) : names_(std::move(names)) {}
  bool publish(const std::string&) override { return true; }
  Result<std::set<std::string>> names() override { return names_; }
  std::vector<std::string> announced() override { return {"5"}; }
  bool announce(const std::string&) override { return true; }

 private:
  const std::set<std::string> names_;
};

using Rows = std::set<std::string>;

// Turso does not see what SQLite writes beside it, nor the other way round: hitfs steps back from such a database, and
// from no other.
class RowKeeperTursoTest : public ::testing::Test {
 protected:
  RowKeeperTursoTest() {
    EXPECT_TRUE(PrivateFiles(folder).make());
    for (const auto& path : {turso, plain}) {
      make_nx_database(path, NxShape::with_mark);
      add_nx_row(path, "9", 3);
    }
    std::ofstream(side_file) << "x";
  }
  Status ask(const std::function<void(RowKeeper::Done)>& call) {
    std::promise<Status> promise;
    call([&](const Status& done) { promise.set_value(done); });
    return promise.get_future().get();
  }
  void settle() {
    EXPECT_TRUE(ask([&](RowKeeper::Done done) { keeper.when_projected(std::move(done)); }));
  }

  testing::TempDir dir;
  std::filesystem::path folder = dir / "private";
  std::filesystem::path turso = folder / "shared-v6.db", plain = folder / "shared-v4.db";
  std::filesystem::path side_file = turso.string() + "-tshm";
  EveryName source{{"1"}};
  RowKeeper keeper{folder, source};
};

TEST_F(RowKeeperTursoTest, NothingIsWrittenOrReadBesideIt) {
  ASSERT_TRUE(keeper.begin());
  settle();
  EXPECT_EQ(nx_rows(plain), (Rows{"1:0", "5:0"}));
  EXPECT_EQ(nx_rows(turso), (Rows{"9:3"})) << "not even what has nothing behind it is taken away";
  keeper.project("2");
  keeper.announce({"6"});
  settle();
  EXPECT_EQ(nx_rows(plain), (Rows{"1:0", "2:0", "5:0", "6:0"}));
  EXPECT_TRUE(ask([&](RowKeeper::Done done) { keeper.remove("9", std::move(done)); })) << "no change waits for it";
  EXPECT_EQ(nx_rows(turso), (Rows{"9:3"}));
  EXPECT_FALSE(keeper.exit_code("9").value().has_value());
}

TEST_F(RowKeeperTursoTest, StepsBackWhenItComesLaterAndReturnsWhenItIsGone) {
  std::filesystem::remove(side_file);
  ASSERT_TRUE(keeper.begin());
  settle();
  EXPECT_EQ(nx_rows(turso), (Rows{"1:0", "5:0"}));
  std::ofstream(side_file) << "x";
  keeper.project("2");
  settle();
  EXPECT_EQ(nx_rows(turso), (Rows{"1:0", "5:0"}));
  std::filesystem::remove(side_file);
  run_sql(turso, "DELETE FROM cache_outputs");
  EXPECT_TRUE(ask([&](RowKeeper::Done done) { keeper.prepare("24.0.6", std::move(done)); })) << "a build begins";
  EXPECT_EQ(nx_rows(turso), (Rows{"1:0", "5:0"}));
}

// Whoever asks while the keeper ends is answered: a request that is not would hang its program for good.
TEST(RowKeeperTest, EveryTaskIsAnsweredAlsoWhenTheKeeperEndsMeanwhile) {
  testing::TempDir dir;
  for (int round = 0; round < 20; ++round) {
    NoNames source;
    RowKeeper keeper(dir / "private", source);
    ASSERT_TRUE(keeper.begin());
    std::atomic<int> asked = 0, answered = 0;
    std::atomic<bool> ended = false;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
          do {
            ++asked;
            keeper.when_projected([&](const Status&) { ++answered; });
          } while (!ended);
        });
      }
      while (asked < 8) std::this_thread::yield();
      keeper.stop();
      ended = true;
    }
    ASSERT_EQ(asked, answered) << "round " << round;
  }
}

}  // namespace
}  // namespace hitfs::fs
