// Daemon, listener and worker with few descriptors: what needs more of them than there are.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

#include "tests/drills/drill.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

namespace {

constexpr Milliseconds kLimit{60'000};

struct Load {
  int limit;        // descriptors of each process of hitfs
  int files;        // open through the mount at once
  int connections;  // to the endpoint at once
  int entries;      // read meanwhile
};

}  // namespace

class FewDescriptorsTest : public Drill {
 protected:
  void begin(const Load& load) {
    before_ = {"prlimit", "--nofile=" + std::to_string(load.limit) + ":" + std::to_string(load.limit), "--"};
    start();
    place_ = mount("m");
    // The test itself holds the other ends.
    rlimit own{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own), 0);
    own.rlim_cur = own.rlim_max;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &own), 0);
    if (own.rlim_max < static_cast<rlim_t>(load.files + load.connections + 100)) GTEST_SKIP() << "too few descriptors";
  }
  // Entries that are read while files are open.
  void make_entries(int count) {
    for (int i = 0; i < count; ++i) save(place_ / flat_name(i), noise(70'000, static_cast<unsigned>(i)));
    ASSERT_EQ(hitfs("flush").code, 0);
  }
  // Files that were made, written and stay open; all are read back.
  int hold_files_open(int count) {
    std::vector<UniqueFd> open;
    int right = 0;
    for (int i = 0; i < count; ++i) {
      auto path = place_ / ("open" + std::to_string(i));
      open.emplace_back(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
      const auto text = std::to_string(i);
      EXPECT_EQ(::write(open.back().get(), text.data(), text.size()), static_cast<ssize_t>(text.size())) << errno;
    }
    for (int i = 0; i < count; ++i) {
      char bytes[16];
      auto got = ::pread(open[static_cast<size_t>(i)].get(), bytes, sizeof(bytes), 0);
      right += got > 0 && std::string_view(bytes, static_cast<size_t>(got)) == std::to_string(i) ? 1 : 0;
    }
    return right;
  }
  // Connections that ask for an entry and are not closed: how many are answered, and answered right.
  int hold_connections(int count) {
    std::vector<std::unique_ptr<RawConnection>> open;
    int answered = 0;
    for (int i = 0; i < count; ++i) open.push_back(std::make_unique<RawConnection>(port()));
    // Those that are not accepted wait in the backlog until others go: each asks, reads, and goes.
    for (auto& connection : open) {
      const bool sent = connection->send("GET /v1/cache/" + nx_name(1) + " HTTP/1.1\r\nHost: localhost\r\n" +
                                         authorization() + "\r\n");
      const auto reply = sent ? connection->read_reply() : RawReply{};
      answered += reply.status == 200 && reply.body == nx_artifact() ? 1 : 0;
      connection.reset();
    }
    return answered;
  }
  void run(const Load& load) {
    begin(load);
    if (IsSkipped() || HasFailure()) return;
    make_entries(load.entries);
    ASSERT_EQ(put(nx_name(1), nx_artifact()).status, 200);
    const int files = hold_files_open(load.files);
    int entries = 0;
    for (int i = 0; i < load.entries; ++i) {
      entries += read_file(place_ / flat_name(i)) == noise(70'000, static_cast<unsigned>(i)) ? 1 : 0;
    }
    const int answered = hold_connections(load.connections);
    EXPECT_EQ(files, load.files);
    EXPECT_EQ(entries, load.entries);
    EXPECT_EQ(answered, load.connections);
    EXPECT_TRUE(eventually([&] { return get(nx_name(1)).body == nx_artifact(); }, kLimit));
    EXPECT_TRUE(eventually([&] { return put(nx_name(2), nx_artifact()).status == 200; }, kLimit));
    EXPECT_EQ(try_to_save(place_ / flat_name(1000), "afterwards"), 0);
    const auto now = status();
    for (const auto* name : {"daemon", "listener"}) {
      EXPECT_EQ(now["supervisor"][name]["restarts"].integer_or(-1), 0) << name;
    }
    printf(
        "[ drill    ] %d descriptors: %d of %d files open in the mount, %d of %d entries read beside, %d of %d "
        "connections answered\n",
        load.limit, files, load.files, entries, load.entries, answered, load.connections);
  }

  std::filesystem::path place_;
};

TEST_F(FewDescriptorsTest, MoreFilesAndConnectionsThanDescriptors) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  run({256, 600, 150, 160});
}

TEST_F(FewDescriptorsTest, ManyFilesAndConnectionsWithinTwentyThousand) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  const bool is_long = std::getenv("HITFS_DRILL_LONG") != nullptr;
  run({20'000, is_long ? 15'000 : 500, is_long ? 3'000 : 200, is_long ? 1'000 : 20});
}

}  // namespace hitfs::testing
