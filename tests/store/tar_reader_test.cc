#include "store/archive/tar_reader.h"

#include <gtest/gtest.h>

#include "store/archive/tar_writer.h"
#include "tests/support/memory_tree.h"
#include "tests/support/raw_tar.h"

namespace hitfs {
namespace {

using testing::MemorySink;
using testing::MemorySource;
using testing::RawTar;

constexpr auto kOurs = ArchiveReaders::hitfs_only;
constexpr auto kOthers = ArchiveReaders::other_programs;

struct ReadMember {
  TarMember member;
  std::string bytes;
};

Result<std::vector<ReadMember>> read_all(const std::string& tar_bytes, ArchiveReaders readers,
                                         size_t piece = SIZE_MAX) {
  MemorySource source(tar_bytes, piece);
  TarReader tar(source, readers);
  std::vector<ReadMember> members;
  while (true) {
    auto member = tar.next();
    if (!member) return std::move(member).error();
    if (!*member) return members;
    MemorySink sink;
    if ((*member)->type == FileType::file) {
      if (auto read = tar.read(sink); !read) return std::move(read).error();
    }
    members.push_back({**member, sink.text});
  }
}

// "" when the archive was taken, else the message.
std::string refusal(const std::string& tar_bytes, ArchiveReaders readers = kOthers) {
  auto members = read_all(tar_bytes, readers);
  if (members) return "";
  EXPECT_EQ(members.error().code, Code::corrupt);
  return members.error().message;
}

TEST(TarReaderTest, ReadsEveryPlainDialect) {
  std::string long_name = "dir/" + std::string(200, 'n');
  RawTar tar;
  tar.directory("dir/");
  tar.file("dir/gnu", "one");
  tar.add({.name = "v7", .type = '\0', .content = "two", .magic = std::string(8, '\0')});
  tar.add({.name = "posix", .content = "3", .magic = std::string("ustar\00000", 8), .prefix = "dir"});
  tar.add({.name = "././@LongLink", .type = 'L', .content = long_name + '\0'}).file("cut", "four");
  tar.add({.name = "././@LongLink", .type = 'K', .content = long_name + '\0'}).symlink("dir/link", "cut");
  tar.pax(RawTar::pax_record("path", "dir/caf\xc3\xa9") + RawTar::pax_record("mtime", "12.000000034")).file("x", "5");
  for (size_t piece : {size_t{1}, size_t{700}, SIZE_MAX}) {
    auto members = read_all(tar.done(), kOthers, piece);
    ASSERT_TRUE(members) << members.error().message;
    ASSERT_EQ(members->size(), 7u);
    EXPECT_EQ(members->at(0).member.path, "dir");
    EXPECT_EQ(members->at(0).member.mode, 0755);
    EXPECT_EQ(members->at(1).bytes, "one");
    EXPECT_EQ(members->at(2).bytes, "two");
    EXPECT_EQ(members->at(3).member.path, "dir/posix");
    EXPECT_EQ(members->at(4).member.path, long_name);
    EXPECT_EQ(members->at(5).member.target, long_name);
    EXPECT_EQ(members->at(6).member.path, "dir/caf\xc3\xa9");
    EXPECT_EQ(members->at(6).member.mtime_ns, 12'000'000'034);
  }
}

TEST(TarReaderTest, AnEmptyArchiveHasNoMembers) {
  auto members = read_all(RawTar().done(), kOthers);
  ASSERT_TRUE(members) << members.error().message;
  EXPECT_TRUE(members->empty());
}

TEST(TarReaderTest, ANameThatLibarchiveWouldChangeIsRefusedRatherThanChanged) {
  // Decomposed letters in a pax header: libarchive composes them, other readers do not.
  std::string decomposed = "e\xcc\x81";
  auto tar = RawTar().pax(RawTar::pax_record("path", decomposed)).file("x", "").done();
  EXPECT_NE(refusal(tar).find("do not agree"), std::string::npos);
  EXPECT_EQ(refusal(RawTar().file(decomposed, "").done()), "") << "GNU headers carry any bytes";
}

TEST(TarReaderTest, RefusesWhatReadersTakeDifferently) {
  auto pax = [](const std::string& keyword, const std::string& value) {
    return RawTar().pax(RawTar::pax_record(keyword, value)).file("x", "abc").done();
  };
  RawTar two_names;
  two_names.add({.name = "././@LongLink", .type = 'L', .content = std::string("a\0", 2)});
  two_names.pax(RawTar::pax_record("path", "b")).file("c", "");
  const std::pair<const char*, std::string> cases[] = {
      {"unknown keyword", pax("GNU.sparse.name", "../../evil")},
      {"unknown keyword", pax("GNU.sparse.major", "1")},
      {"unknown keyword", pax("SCHILY.realsize", "1")},
      {"newline", pax("comment", "x\n21 path=../../evil")},
      {"hdrcharset", pax("hdrcharset", "BINARY")},
      {"two sizes", pax("size", "2")},
      {"impossible size", pax("size", "-1")},
      {"no number", pax("mtime", "tomorrow")},
      {"empty name", pax("path", "")},
      {"NUL", pax("path", std::string("a\0b", 3))},
      {"two names", two_names.done()},
      {"two names",
       RawTar().pax(RawTar::pax_record("path", "a") + RawTar::pax_record("path", "b")).file("c", "").done()},
      {"broken extended", RawTar().pax("99 path=a\n").file("x", "").done()},
      {"broken extended", RawTar().pax("09 path=a\n").file("x", "").done()},
      {"broken extended", RawTar().pax("8 path=a").file("x", "").done()},
      {"broken extended", RawTar().pax("7 patha\n").file("x", "").done()},
      {"long name with a NUL",
       RawTar().add({.name = "L", .type = 'L', .content = std::string("a\0b\0", 4)}).file("x", "").done()},
      {"without a member", RawTar().pax(RawTar::pax_record("path", "a")).done()},
      {"impossible size", RawTar().add({.name = "L", .type = 'L', .content = std::string(9000, 'a')}).done()},
      {"directory's name", RawTar().file("dir/", "").done()},
      {"with a size", RawTar().add({.name = "d", .type = '5', .content = "abc"}).done()},
      {"with a size", RawTar().add({.name = "l", .type = '2', .content = "abc", .link = "x"}).done()},
      {"link target", RawTar().add({.name = "f", .link = "x"}).done()},
      {"sparse", RawTar().add({.name = "f", .content = "abc", .gnu_rest = "00000001000"}).done()},
      {"unknown kind", RawTar().add({.name = "f", .magic = "ustar\0XX"}).done()},
      {"checksum", RawTar().add({.name = "f\xff\xff", .signed_checksum = true}).done()},
      {"impossible size", RawTar().add({.name = "f", .size = "77777777zzz"}).done()},
      {"impossible size",
       RawTar().add({.name = "f", .size = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}).done()},
      {"no number", RawTar().add({.name = "f", .mode = "rwxr-x"}).done()},
  };
  for (const auto& [why, bytes] : cases) {
    auto message = refusal(bytes);
    EXPECT_NE(message.find(why), std::string::npos) << why << " got: " << message;
  }
}

TEST(TarReaderTest, RefusesEveryOtherTypeOfMember) {
  for (char type : std::string("1346789gSDMNVXAab")) {
    auto message = refusal(RawTar().add({.name = "m", .type = type, .link = type == '1' ? "x" : ""}).done());
    EXPECT_NE(message, "") << type;
  }
}

TEST(TarReaderTest, RefusesAnArchiveThatDoesNotEndAsItShould) {
  auto body = RawTar().file("a", "abc").bytes;
  EXPECT_NE(refusal(body), "") << "no end mark";
  EXPECT_NE(refusal(body + std::string(512, '\0')), "") << "half an end mark";
  EXPECT_EQ(refusal(body + std::string(10240, '\0')), "") << "padding of whole records is fine";
  EXPECT_NE(refusal(body + std::string(1024, '\0') + "x"), "") << "bytes after the end";
  EXPECT_NE(refusal(body + std::string(1024, '\0') + body), "") << "a second archive";
  EXPECT_NE(refusal(""), "") << "nothing at all";
}

TEST(TarReaderTest, EveryCutIsSeen) {
  auto whole = RawTar().directory("d/").file("d/a", std::string(600, 'x')).symlink("d/l", "a").done();
  for (size_t length = 0; length < whole.size(); ++length) EXPECT_NE(refusal(whole.substr(0, length)), "") << length;
}

TEST(TarReaderTest, NewlinesAndOddBytesTravelWhereOnlyWeRead) {
  for (const std::string& name :
       std::vector<std::string>{"new\nline", "\xff\xfe", "caf\xc3\xa9", "back\\slash", "e\xcc\x81", "=1 "}) {
    MemorySink sink;
    TarWriter writer(TarWriter::Format::pax, sink);
    ASSERT_TRUE(writer.begin_file(name, 0600, -1, 2));
    ASSERT_TRUE(writer.write(io::as_bytes("ok")));
    ASSERT_TRUE(writer.symlink("link", name, 1'500'000'000));
    ASSERT_TRUE(writer.finish());
    auto members = read_all(sink.text, kOurs);
    ASSERT_TRUE(members) << members.error().message;
    EXPECT_EQ(members->at(0).member.path, name);
    EXPECT_EQ(members->at(0).member.mtime_ns, -1);
    EXPECT_EQ(members->at(0).bytes, "ok");
    EXPECT_EQ(members->at(1).member.target, name);
    EXPECT_EQ(members->at(1).member.mtime_ns, 1'500'000'000);
  }
}

TEST(TarWriterTest, NoticesWrongSizes) {
  MemorySink sink;
  TarWriter writer(TarWriter::Format::gnu, sink);
  ASSERT_TRUE(writer.begin_file("a", 0600, 0, 2));
  EXPECT_FALSE(writer.write(io::as_bytes("abc")));
  EXPECT_FALSE(writer.finish());
}

TEST(TarWriterTest, PassesTheErrorOfItsSinkOn) {
  class FullSink : public ByteSink {
   public:
    Status write(std::span<const std::byte>) override { return Error{Code::no_space, "disk full"}; }
  };
  FullSink sink;
  TarWriter writer(TarWriter::Format::pax, sink);
  auto written = writer.directory("a", 0755, 0);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Code::no_space);
}

}  // namespace
}  // namespace hitfs
