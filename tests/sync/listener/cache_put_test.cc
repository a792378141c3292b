#include <atomic>
#include <condition_variable>
#include <set>

#include "tests/sync/listener/cache_fixture.h"

namespace hitfs {
namespace {

using testing::RawConnection;

// Lets writes of uploads fail as on a full disk.
class FullDisk final : public io::FaultInjector {
 public:
  explicit FullDisk(io::Op op) : op_(op) { io::install_fault_injector(this); }
  ~FullDisk() override { io::install_fault_injector(nullptr); }
  Status before(const Step& step) override {
    if (step.op == op_ && step.what == "upload") return Error{Code::no_space, "disk full"};
    return Ok{};
  }
  void after(const Step&, bool) override {}

 private:
  io::Op op_;
};

class CachePutTest : public testing::CacheTest {
 protected:
  // The daemon takes what it is given, as the real one does, and says `outcome`.
  void daemon_says(const std::string& outcome) {
    daemon_.answer("/v1/store", [this, outcome](const Json& body) {
      auto file = paths_.staging(body["front"].text_or("")) / body["file"].text_or("");
      *taken_.lock() = io::read_file(file, 64 << 20).value();
      std::filesystem::remove(file);
      return json_reply(200, Json::Object{{"outcome", outcome}, {"why", "because"}});
    });
  }
  std::string taken() { return *taken_.lock(); }
  // Waits until a body that was cut has been thrown away.
  bool wait_nothing_staged() {
    auto until = Deadline::after(Milliseconds(20'000));
    while (staged() > 0 && !until.passed()) std::this_thread::yield();
    return staged() == 0;
  }

 private:
  Guarded<std::string> taken_;
};

TEST_F(CachePutTest, EachOutcomeHasTheStatusThatNxTakesForIt) {
  start();
  std::pair<const char*, int> table[] = {{"stored", 200}, {"same", 200}, {"different", 409}, {"refused", 403}};
  for (auto [outcome, status] : table) {
    daemon_says(outcome);
    EXPECT_EQ(put("/v1/cache/42", "the artifact").status, status) << outcome;
    EXPECT_EQ(taken(), "the artifact");
    EXPECT_EQ(staged(), 0u);
  }
  EXPECT_EQ(daemon_.bodies("/v1/store")[0]["key"].text_or(""), "nx/42");
}

TEST_F(CachePutTest, ALargeBodyArrivesExactly) {
  daemon_says("stored");
  start();
  std::string body(20'000'001, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 2654435761u >> 11);
  EXPECT_EQ(put("/v1/cache/42", body).status, 200);
  EXPECT_TRUE(taken() == body);
}

TEST_F(CachePutTest, WithoutADaemonItIsRefusedAfterTheWaitAndNothingIsKept) {
  patience_ = Milliseconds(200);
  start_without_daemon();
  auto begin = system_clock().now();
  EXPECT_EQ(put("/v1/cache/42", "body").status, 403);
  EXPECT_GE(system_clock().now() - begin, patience_);
  EXPECT_EQ(staged(), 0u);
}

TEST_F(CachePutTest, ADaemonThatComesBackInTimeGetsIt) {
  patience_ = Milliseconds(20'000);
  daemon_says("stored");
  start_without_daemon();
  RawConnection connection(socket_.port);
  connection.send("PUT /v1/cache/42 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n" + std::string(kBearer) +
                  "\r\nbody");
  while (staged() == 0) std::this_thread::yield();
  EXPECT_FALSE(connection.closes(Milliseconds(100)));  // it waits
  daemon_.start(paths_);
  EXPECT_EQ(connection.read_reply().status, 200);
  EXPECT_EQ(taken(), "body");
}

TEST_F(CachePutTest, AFaultOfTheDaemonIs403) {
  start();
  daemon_.answer("/v1/store", [](const Json&) {
    return json_reply(500, Json::Object{{"code", "internal"}, {"error", "bug"}});
  });
  EXPECT_EQ(put("/v1/cache/42", "body").status, 403);
  daemon_.answer("/v1/store", R"({"outcome": "nonsense"})");
  EXPECT_EQ(put("/v1/cache/42", "body").status, 403);
  EXPECT_EQ(staged(), 0u);
}

TEST_F(CachePutTest, WithoutContentLengthNothingIsStored) {
  daemon_says("stored");
  start();
  RawConnection chunked(socket_.port);
  chunked.send("PUT /v1/cache/42 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + std::string(kBearer) +
               "\r\n4\r\nbody\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.read_reply().status, 403);
  RawConnection none(socket_.port);
  none.send("PUT /v1/cache/42 HTTP/1.1\r\nHost: localhost\r\n" + std::string(kBearer) + "\r\n");
  EXPECT_EQ(none.read_reply().status, 403);
  EXPECT_EQ(daemon_.bodies("/v1/store").size(), 0u);
}

TEST_F(CachePutTest, AmbiguousLengthsStoreNothing) {
  daemon_says("stored");
  start();
  for (const char* framing : {"Content-Length: 4\r\nContent-Length: 5\r\n",
                              "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 4x\r\n"}) {
    RawConnection connection(socket_.port);
    connection.send("PUT /v1/cache/42 HTTP/1.1\r\nHost: localhost\r\n" + std::string(kBearer) + framing + "\r\nbodyX");
    auto text = connection.read_to_end();
    ASSERT_TRUE(text) << framing;
    EXPECT_TRUE(text->starts_with("HTTP/1.1 400")) << *text;
  }
  EXPECT_EQ(daemon_.bodies("/v1/store").size(), 0u);
  EXPECT_EQ(staged(), 0u);
}

TEST_F(CachePutTest, ACutBodyLeavesNothing) {
  daemon_says("stored");
  start();
  for (size_t sent : {0u, 1u, 999'999u}) {
    RawConnection connection(socket_.port);
    connection.send("PUT /v1/cache/42 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n" +
                    std::string(kBearer) + "\r\n" + std::string(sent, 'x'));
    while (staged() == 0) std::this_thread::yield();
    connection.end_sending();
    EXPECT_TRUE(connection.closes());
    EXPECT_TRUE(wait_nothing_staged());
  }
  EXPECT_EQ(daemon_.bodies("/v1/store").size(), 0u);
}

TEST_F(CachePutTest, TooLargeIsRefusedByItsLengthAlone) {
  rules_.max_artifact_bytes = 1000;
  daemon_says("stored");
  start();
  EXPECT_EQ(put("/v1/cache/42", std::string(1001, 'x')).status, 403);
  EXPECT_EQ(daemon_.bodies("/v1/store").size(), 0u);
  EXPECT_EQ(put("/v1/cache/42", std::string(1000, 'x')).status, 200);
}

TEST_F(CachePutTest, AFullDiskIs403AndTheConnectionGoesOn) {
  daemon_says("stored");
  start();
  for (auto op : {io::Op::create, io::Op::write}) {
    FullDisk full(op);
    RawConnection connection(socket_.port);
    connection.send("PUT /v1/cache/42 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n" +
                    std::string(kBearer) + "\r\n");
    EXPECT_TRUE(connection.send(std::string(3'000'000, 'x')));
    EXPECT_EQ(connection.read_reply().status, 403);
    connection.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_EQ(connection.read_reply().status, 200);
    EXPECT_EQ(staged(), 0u);
  }
  EXPECT_EQ(daemon_.bodies("/v1/store").size(), 0u);
}

TEST_F(CachePutTest, BeforeThereIsAStoreItIs403AndNoFolderIsMade) {
  std::filesystem::remove(paths_.format());
  start_without_daemon();
  EXPECT_EQ(put("/v1/cache/42", "body").status, 403);
  EXPECT_FALSE(std::filesystem::exists(paths_.staging()));
}

TEST_F(CachePutTest, AnOrderlyEndRefusesWhatWaitsForTheDaemon) {
  start();  // the daemon does not answer
  std::vector<std::unique_ptr<RawConnection>> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.push_back(std::make_unique<RawConnection>(socket_.port));
    waiting.back()->send("PUT /v1/cache/" + std::to_string(i) +
                         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n" + kBearer + "\r\nbody");
  }
  ASSERT_TRUE(daemon_.wait_waiting(5));
  end();
  for (auto& connection : waiting) EXPECT_EQ(connection->read_reply().status, 403);
  EXPECT_EQ(staged(), 0u);
}

// The daemon may still have to open what a listener handed over before it was killed.
TEST(UploadFolderTest, ASuccessorUsesNoNameAgain) {
  testing::TempDir folder;
  StorePaths paths{folder.path()};
  std::ofstream(paths.format()) << "x";
  std::set<std::string> names;
  for (int life = 0; life < 3; ++life) {
    UploadFolder uploads(paths, "endpoint");
    uploads.clear();
    for (int i = 0; i < 4; ++i) {
      auto upload = uploads.begin(1);
      ASSERT_TRUE(upload) << upload.error().message;
      EXPECT_TRUE(names.insert((*upload)->name()).second) << (*upload)->name();
    }
  }
}

TEST(UploadFolderTest, ClearRemovesWhatAKilledListenerLeft) {
  testing::TempDir dir;
  StorePaths paths{dir.path()};
  std::filesystem::create_directories(paths.staging("endpoint"));
  std::filesystem::create_directories(paths.staging("other"));
  std::ofstream(paths.staging("endpoint") / "17") << "half an upload";
  std::ofstream(paths.staging("other") / "17") << "not ours";
  UploadFolder folder(paths, "endpoint");
  folder.clear();
  EXPECT_FALSE(std::filesystem::exists(paths.staging("endpoint") / "17"));
  EXPECT_TRUE(std::filesystem::exists(paths.staging("other") / "17"));
}

TEST(UploadFolderTest, WhatCannotFitOnTheDiskIsRefusedBeforeItArrives) {
  testing::TempDir dir;
  StorePaths paths{dir.path()};
  std::ofstream(paths.format()) << "hitfs store 1\n";
  UploadFolder folder(paths, "endpoint");
  auto upload = folder.begin(uint64_t{1} << 60);
  ASSERT_FALSE(upload);
  EXPECT_EQ(upload.error().code, Code::no_space);
  EXPECT_TRUE(folder.begin(1));
}

}  // namespace
}  // namespace hitfs
