#include "cli/process_config.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "cli/supervisor/bounded_log.h"
#include "cli/supervisor/child.h"
#include "store/base/io.h"
#include "tests/support/temp_dir.h"

namespace hitfs {

TEST(ProcessConfigTest, RoundTripsAndCannotBeChanged) {
  Json options;
  options["token"] = "secret-word";
  auto file = write_process_config(options);
  ASSERT_TRUE(file);
  EXPECT_LT(::pwrite(file->get(), "x", 1, 0), 0) << "sealed";
  EXPECT_EQ(*read_process_config(::dup(file->get())), options);
}

TEST(ProcessConfigTest, RubbishIsRefusedWithoutBeingQuoted) {
  testing::TempDir folder;
  auto file = io::create(folder / "f", "test");
  ASSERT_TRUE(io::write_all(file->get(), io::as_bytes("{\"token\": secret-word"), "test"));
  auto read = read_process_config(file->release());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message.find("secret-word"), std::string::npos);
  EXPECT_FALSE(read_process_config(-1));
}

TEST(BoundedLogTest, StaysBelowTwiceItsLimit) {
  testing::TempDir folder;
  auto path = folder / "log";
  UniqueFd terminal(::dup(STDERR_FILENO));
  {
    auto file = io::create(path, "test");
    ::dup2(file->get(), STDERR_FILENO);
  }
  BoundedLog log(path, 1000);
  for (int i = 0; i < 100; ++i) log.line("a line of twenty-five bytes");
  ::dup2(terminal.get(), STDERR_FILENO);
  auto now = io::read_file(path, 10000), before = io::read_file(folder / "log.1", 10000);
  ASSERT_TRUE(now && before);
  EXPECT_LE(now->size() + before->size(), 2100u);
  EXPECT_GT(before->size(), 900u);
}

TEST(ChildTest, MessageOfALogLine) {
  EXPECT_EQ(message_of_log_line("2026-11-21T08:03:49.422 8851 error sync store is on nfs"), "store is on nfs");
  EXPECT_EQ(message_of_log_line("error sync store is on nfs"), "store is on nfs");
  EXPECT_EQ(message_of_log_line("terminate called"), "terminate called");
  EXPECT_EQ(disk_trouble_of_log_line("2026-11-21T08:03:49.422 8851 error store disk-trouble step=\"x\" error=\"full\""),
            "step=\"x\" error=\"full\"");
  EXPECT_EQ(disk_trouble_of_log_line("error sync no disk-trouble here"), std::nullopt);
}

}  // namespace hitfs
