#include "store/archive/guard.h"

#include <gtest/gtest.h>

#include <vector>

namespace hitfs {
namespace {

constexpr auto kOurs = ArchiveReaders::hitfs_only;
constexpr auto kOthers = ArchiveReaders::other_programs;

ArchiveMember file(std::string_view path) { return {FileType::file, path, "", 0644}; }
ArchiveMember directory(std::string_view path) { return {FileType::directory, path, "", 0755}; }
ArchiveMember link(std::string_view path, std::string_view target) { return {FileType::symlink, path, target, 0777}; }

std::string refusal(ArchiveReaders readers, const std::vector<ArchiveMember>& members, GuardLimits limits = {}) {
  Guard guard(limits, readers);
  for (const auto& member : members) {
    auto admitted = guard.admit(member);
    if (admitted) continue;
    EXPECT_EQ(admitted.error().code, Code::corrupt);
    return admitted.error().message;
  }
  return "";
}

struct Case {
  std::vector<ArchiveMember> members;
  std::string rule;
};

TEST(GuardTest, RefusesEveryWayOutOfTheEntry) {
  const Case cases[] = {
      {{file("/etc/passwd")}, "absolute path"},
      {{file("../x")}, "\"..\" in a path"},
      {{file("a/../../x")}, "\"..\" in a path"},
      {{file("a/..")}, "\"..\" in a path"},
      {{directory("..")}, "\"..\" in a path"},
      {{file("a//b")}, "empty or \".\" name"},
      {{file("a/./b")}, "empty or \".\" name"},
      {{file("a/")}, "empty or \".\" name"},
      {{directory("./")}, "for the entry itself"},
      {{directory(".")}, "for the entry itself"},
      {{file("")}, "for the entry itself"},
      {{file(std::string_view("a\0b", 3))}, "NUL byte in a path"},
      {{link("l", "/etc")}, "absolute target"},
      {{link("l", "..")}, "leaves the entry"},
      {{link("a/b/l", "../../../x")}, "leaves the entry"},
      {{link("l", "a/../..")}, "\"..\" after a name"},
      {{link("l", "a/../b")}, "\"..\" after a name"},
      {{link("l", "")}, "link target empty"},
      {{link("l", std::string_view("a\0b", 3))}, "NUL byte in a link target"},
      {{link("d", "other"), file("d/x")}, "through a link"},
      {{file("d"), file("d/x")}, "through a file"},
      {{file("a"), file("a")}, "the same name twice"},
      {{directory("d"), link("d", "x")}, "the same name twice"},
      {{file("d/x"), link("d", "x")}, "the same name twice"},
      {{link("d", "x"), directory("d")}, "the same name twice"},
      {{file("./a"), file("a")}, "the same name twice"},
  };
  for (const auto& [members, rule] : cases) {
    for (auto readers : {kOurs, kOthers}) {
      auto message = refusal(readers, members);
      EXPECT_NE(message.find(rule), std::string::npos) << rule << " got: " << message;
    }
  }
}

TEST(GuardTest, WindowsPathsAreRefusedOnlyWhereOthersRead) {
  for (const char* path : {"C:", "c:/x", "C:x", "\\x", "a\\..\\b", "..\\x"}) {
    EXPECT_NE(refusal(kOthers, {file(path)}), "") << path;
    EXPECT_EQ(refusal(kOurs, {file(path)}), "") << path;
  }
  EXPECT_NE(refusal(kOthers, {link("l", "C:x")}), "");
  EXPECT_NE(refusal(kOthers, {link("l", "a\\b")}), "");
  EXPECT_EQ(refusal(kOurs, {link("l", "a\\b")}), "");
  EXPECT_EQ(refusal(kOthers, {file("a\\b"), file("ab:c")}), "");
}

TEST(GuardTest, ModesThatStopAnOrdinaryUserAreRefusedOnlyWhereOthersUnpack) {
  ArchiveMember closed{FileType::directory, "d", "", 0555};
  ArchiveMember unreadable{FileType::file, "f", "", 0200};
  for (const auto& member : {closed, unreadable}) {
    EXPECT_NE(refusal(kOthers, {member}).find("owner could not"), std::string::npos);
    EXPECT_EQ(refusal(kOurs, {member}), "");
  }
  EXPECT_EQ(refusal(kOthers, {{FileType::file, "f", "", 0444}}), "");
  EXPECT_EQ(Guard::safe_mode(07755), 0755);
}

TEST(GuardTest, TakesWhatStaysInside) {
  EXPECT_EQ(refusal(kOthers, {directory("a"), file("a/x"), directory("a"), link("a/l", "../b"), link("a/m", "./x"),
                              link("dangling", "nowhere/at/all"), link("self", "."), link("a/b/c", "../.."),
                              file("..."), file("..a"), file("caf\xc3\xa9"), file("\xff\xfe"), file("a\nb")}),
            "");
}

TEST(GuardTest, GivesCanonicalPaths) {
  Guard guard({}, kOthers);
  EXPECT_EQ(guard.admit(directory("./dist/")).value(), "dist");
  EXPECT_EQ(guard.admit(file("./dist/x")).value(), "dist/x");
}

TEST(GuardTest, LimitsNamesDepthAndMembers) {
  std::string deep = "d";
  for (int i = 1; i < 128; ++i) deep += "/d";
  EXPECT_EQ(refusal(kOurs, {file(deep)}), "");
  EXPECT_NE(refusal(kOurs, {file(deep + "/d")}).find("deeper"), std::string::npos);
  EXPECT_NE(refusal(kOurs, {file(std::string(256, 'n'))}).find("255"), std::string::npos);
  std::string path(4096, 'p');
  EXPECT_NE(refusal(kOurs, {file(path)}).find("4095"), std::string::npos);
  EXPECT_NE(refusal(kOurs, {link("l", path)}).find("4095"), std::string::npos);

  GuardLimits few;
  few.members = 3;
  EXPECT_EQ(refusal(kOurs, {file("a/b/c")}, few), "");
  EXPECT_NE(refusal(kOurs, {file("a/b/c"), file("d")}, few).find("more members"), std::string::npos);
  GuardLimits short_names;
  short_names.name_bytes = 8;
  EXPECT_NE(refusal(kOurs, {file("abcd"), file("efghi")}, short_names).find("bytes of names"), std::string::npos);
  EXPECT_NE(refusal(kOurs, {link("l", "123456789")}, short_names).find("bytes of names"), std::string::npos);
}

TEST(GuardTest, LimitsBytesAndRatio) {
  Guard guard({}, kOurs);
  EXPECT_TRUE(guard.admit_bytes(8ull << 30, 16ull << 30));
  EXPECT_FALSE(guard.admit_bytes((8ull << 30) + 1, 0));
  EXPECT_FALSE(guard.admit_bytes(8ull << 30, (16ull << 30) + 1));
  EXPECT_TRUE(guard.admit_bytes(1 << 10, 1ull << 30)) << "the ratio counts only beyond 1 GiB";
  EXPECT_TRUE(guard.admit_bytes(11 << 20, 2ull << 30));
  auto bomb = guard.admit_bytes(10 << 20, 2ull << 30);
  ASSERT_FALSE(bomb);
  EXPECT_NE(bomb.error().message.find("ratio"), std::string::npos);
}

TEST(GuardTest, MessagesNameTheMemberInAscii) {
  auto message = refusal(kOurs, {file("dist/\xff\n/../x")});
  EXPECT_NE(message.find("member dist/%FF%0A/../x"), std::string::npos) << message;
  EXPECT_LT(refusal(kOurs, {file("/" + std::string(4000, '\xff'))}).size(), 1200u);
}

}  // namespace
}  // namespace hitfs
