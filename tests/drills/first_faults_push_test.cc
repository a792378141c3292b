// Uploads that cannot be done now, or never.
#include "tests/drills/drill.h"
#include "tests/support/test_mount.h"

namespace hitfs::testing {

class PushTest : public Drill {
 protected:
  ReservedPort server_port_;
  std::string url_ = "nx+http://127.0.0.1:" + std::to_string(server_port_.number());
};

TEST_F(PushTest, WhatARunCouldNotPushIsNamedAndPushedByTheNextStart) {
  if (auto why = why_no_mount()) GTEST_SKIP() << *why;
  auto place = (folder_ / "m").string();
  auto script = "echo built > " + place + "/new && mv " + place + "/new " + place + "/" + flat_name(1) + "; exit 7";
  auto ran = hitfs("run", {"--remote", url_, "--flush", "1s", "--mount", place, "--", "/bin/sh", "-c", script});
  EXPECT_EQ(ran.code, 7) << ran.output;
  EXPECT_NE(ran.output.find("1 uploads are not done"), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("flat/" + flat_name(1) + " (6 bytes) to 127.0.0.1:"), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find(" 1 pending"), std::string::npos) << ran.output;
  EXPECT_EQ(hitfs("stop", {"--flush", "0s"}).code, 1) << "an upload is left";

  MemoryNxServer server("", "", "", "", server_port_.number());
  start({"--remote", url_});
  EXPECT_TRUE(eventually([&] { return server.size() == 1; }, std::chrono::seconds(30)));
  EXPECT_TRUE(eventually([&] { return status()["totals"]["pushed"].integer_or(-1) == 1; }));
  EXPECT_EQ(status()["queue"]["waiting"].integer_or(-1), 0);
  auto stopped = hitfs("stop", {"--flush", "5s"});
  EXPECT_EQ(stopped.code, 0) << stopped.output;
}

TEST_F(PushTest, AnUploadThatIsRefusedForGoodIsShownAndCallsTheUsersCommand) {
  SocketServer server(
      [](Connection& peer) {
        while (auto request = peer.read_head()) {
          if (!peer.read_body(*request) || !peer.answer(request->method == "PUT" ? 413 : 404)) return;
        }
      },
      "", "", server_port_.number());
  auto told = folder_ / "told";
  auto command = "echo \"$HITFS_KEY to $HITFS_REMOTE: $HITFS_WHY\" > " + told.string();
  start({"--remote", url_, "--on-push-failed", command});
  ASSERT_FALSE(HasFailure());
  ASSERT_EQ(put(nx_name(1), nx_artifact()).status, 200);
  EXPECT_TRUE(eventually([&] { return read_file(told).value_or("").ends_with("\n"); }));
  auto text = read_file(told).value_or("");
  EXPECT_TRUE(text.starts_with("nx/" + nx_name(1) + " to 127.0.0.1:")) << text;
  EXPECT_NE(text.find("413"), std::string::npos) << text;
  auto json = status();
  EXPECT_EQ(json["queue"]["parked"].integer_or(-1), 1) << json.dump();
  EXPECT_NE(std::as_const(json)["queue"]["parked_pushes"].items().at(0)["why"].text_or("").find("413"),
            std::string::npos);
  auto shown = hitfs("status").output;
  EXPECT_NE(shown.find("refused: nx/" + nx_name(1)), std::string::npos) << shown;
  EXPECT_NE(why("nx/" + nx_name(1)).find("is not wanted by the remote"), std::string::npos);
  auto stopped = hitfs("stop", {"--flush", "5s"});
  EXPECT_EQ(stopped.code, 0) << stopped.output;
  EXPECT_NE(stopped.output.find(" 1 refused 0 failed 0 pending"), std::string::npos) << stopped.output;
}

}  // namespace hitfs::testing
