#include "store/layout.h"

#include <gtest/gtest.h>

#include "store/layouts/nx.h"

namespace hitfs {
namespace {

std::unique_ptr<Layout> flat(LayoutOptions options = {}) { return make_layout(options).value(); }

std::string refusal(const LayoutOptions& options) {
  auto layout = make_layout(options);
  if (layout) return "";
  EXPECT_EQ(layout.error().code, Code::invalid_argument);
  return layout.error().message;
}

TEST(FlatLayoutTest, HashNamesAreEntriesAndAllOthersLocal) {
  auto layout = flat();
  struct Case {
    std::string name;
    NameClass name_class;
  };
  const Case cases[] = {
      {"16753371117218787125", NameClass::entry},
      {"675337111721878", NameClass::entry},
      {"1f3a5b7c9d0e2f4a", NameClass::entry},
      {std::string(40, 'a'), NameClass::entry},
      {std::string(64, '0'), NameClass::entry},
      {std::string(128, 'f'), NameClass::entry},
      {std::string(129, 'f'), NameClass::local},
      {"1f3a", NameClass::local},
      {"2024", NameClass::local},
      {"1F3A5B7C9D0E2F4A", NameClass::local},
      {"1f3a5b7c9d0e2f4a.tmp", NameClass::local},
      {".1f3a5b7c9d0e2f4a", NameClass::local},
      {"16753371117218787125-backup", NameClass::local},
      {"run.json", NameClass::local},
      {"", NameClass::local},
      {"1f3a5b7c9d0e2f4a\n", NameClass::local},
      {"\n1f3a5b7c9d0e2f4a", NameClass::local},
      {std::string("1f3a5b7c9d0e2f4a\0x", 18), NameClass::local},
  };
  for (const auto& [name, name_class] : cases) {
    auto placement = layout->place(name);
    EXPECT_EQ(placement.name_class, name_class) << name;
    EXPECT_EQ(placement.name, name_class == NameClass::entry ? name : "");
    EXPECT_EQ(placement.space, name_class == NameClass::entry ? "flat" : "");
  }
}

TEST(FlatLayoutTest, APatternMatchesTheWholeName) {
  auto layout = flat({.pattern = "a|b(c|d)+|x{2,3}", .space = "tool"});
  for (const char* name : {"a", "bc", "bcdc", "xx", "xxx"}) {
    EXPECT_EQ(layout->place(name).name_class, NameClass::entry) << name;
    EXPECT_EQ(layout->place(name).space, "tool");
  }
  for (const char* name : {"ab", "b", "aa", "x", "xxxx", "bcx", " a"}) {
    EXPECT_EQ(layout->place(name).name_class, NameClass::local) << name;
  }
}

TEST(FlatLayoutTest, APatternSeesBytes) {
  auto layout = flat({.pattern = "[^.].{2}"});
  EXPECT_EQ(layout->place("\xff\xfe\xfd").name_class, NameClass::entry);
  EXPECT_EQ(layout->place("\xc3\xa9x").name_class, NameClass::entry);
}

TEST(FlatLayoutTest, AHostilePatternCostsNothing) {
  auto layout = flat({.pattern = "(a*)*b|(a|a)*c|(.*)(.*)(.*)d"});
  EXPECT_EQ(layout->place(std::string(255, 'a')).name_class, NameClass::local);
  EXPECT_EQ(layout->place(std::string(254, 'a') + "b").name_class, NameClass::entry);
}

TEST(FlatLayoutTest, RefusesPatternsByName) {
  EXPECT_NE(refusal({.pattern = "("}).find("not valid"), std::string::npos);
  EXPECT_NE(refusal({.pattern = "[a"}).find("not valid"), std::string::npos);
  EXPECT_NE(refusal({.pattern = "(a)\\1"}).find("back-reference"), std::string::npos);
  EXPECT_NE(refusal({.pattern = "a{300}"}).find("repetition count"), std::string::npos);
  EXPECT_NE(refusal({.pattern = "((a{200}){200})"}).find("count"), std::string::npos);
  EXPECT_NE(refusal({.pattern = std::string(1025, 'a')}).find("1024"), std::string::npos);
}

TEST(FlatLayoutTest, RefusesPatternsThatGrowWhenTheyAreCompiled) {
  std::string nested = "a+";
  for (int i = 0; i < 13; ++i) nested = "(" + nested + ")+";
  for (const auto& pattern : {"5" + std::string(39, '+'), std::string("a{255}{255}{255}"), nested,
                              std::string("((a{255,}){255,})"), "(" + std::string(1000, 'a') + "){255}{4}",
                              std::string("s+*+++++++++++x+"), std::string("((((((((((s)*)+)+)+)+)+)+)+)+)+x")}) {
    EXPECT_NE(refusal({.pattern = pattern}).find("repeat"), std::string::npos) << pattern;
  }
  std::string optional = "(";
  for (int i = 0; i < 20; ++i) optional += "(a?)?";
  for (const auto& pattern : {"}" + std::string(13, '?') + "++++++=???d", optional + ")*", std::string("(^a|b)*"),
                              "$~" + std::string(98, '*'), std::string("(a|b$)?++"), std::string("((||^^)****++*)"),
                              std::string("(\\ba)+")}) {
    EXPECT_NE(refusal({.pattern = pattern}).find("optional parts"), std::string::npos) << pattern;
  }
  for (const char* pattern : {"([0-9a-f]{2}){32}", "^[0-9]+$", "(^|-)[0-9]+", "^([a-z]+-)?[0-9]*$",
                              "v[0-9]+([.][0-9]+){0,3}(-(alpha|rc)([.][0-9]+)?)?([+][a-z]*)?", "[0-9]+(-[0-9]+)*",
                              "([a-z]+_)+[a-z]+", "a.*?b", "(ab){255}", "[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}",
                              "([]{}+[:alpha:]]{16}){16}", "((a{3})[(+])+"}) {
    EXPECT_EQ(refusal({.pattern = pattern}), "") << pattern;
  }
}

TEST(FlatLayoutTest, ReadsWhenAnEntryIsComplete) {
  EXPECT_EQ(flat()->completion(), Completion::rename);
  EXPECT_EQ(flat({.complete = "rename"})->completion(), Completion::rename);
  EXPECT_EQ(flat({.complete = "close"})->completion(), Completion::close);
  auto marker = flat({.complete = "marker:.done"});
  EXPECT_EQ(marker->completion(), Completion::marker);
  EXPECT_EQ(marker->marker(), ".done");
  EXPECT_EQ(flat()->marker(), "");
  for (const char* wrong : {"marker:", "marker:a/b", "marker:..", "closed", "marker"}) {
    EXPECT_NE(refusal({.complete = wrong}).find("rename, close or marker:NAME"), std::string::npos) << wrong;
  }
}

TEST(LayoutTest, RefusesOtherLayoutsAndNamespacesByName) {
  EXPECT_NE(refusal({.name = "nx", .pattern = "[0-9]+"}).find("leave out pattern"), std::string::npos);
  EXPECT_NE(refusal({.name = "turbo"}).find("\"turbo\" is unknown"), std::string::npos);
  EXPECT_NE(refusal({.space = "nx"}).find("namespace nx"), std::string::npos);
  EXPECT_NE(refusal({.space = "Bad Space"}).find("namespace"), std::string::npos);
}

TEST(NxLayoutTest, KnowsTheNamesOfACacheFolderOfNx) {
  auto layout = make_nx_layout({}).value();
  struct Case {
    std::string name;
    NameClass name_class;
    std::string target{};  // the name of the key, or the path in the private folder
  };
  const Case cases[] = {
      {"16753371117218787125", NameClass::entry, "16753371117218787125"},
      {"7", NameClass::entry, "7"},
      {"167533711172187871250", NameClass::local},  // more than 64 bits have
      {"16753371117218787125-backup", NameClass::local},
      {"1f3a", NameClass::local},
      {"shared.db", NameClass::link, "shared.db"},
      {"shared.lock", NameClass::link, "shared.lock"},
      {"shared-v6.db", NameClass::link, "shared-v6.db"},
      {"shared-v12.lock", NameClass::link, "shared-v12.lock"},
      {"shared-v6.db-wal", NameClass::local},
      {"shared-v.db", NameClass::local},
      {"shared-6.db", NameClass::local},
      {"shared.json", NameClass::local},
      {".nx-24.0.6-0123456789abcdef", NameClass::link, "workspaces/24.0.6-0123456789abcdef"},
      {".nx-24.0.0-beta.3-0123456789abcdef", NameClass::link, "workspaces/24.0.0-beta.3-0123456789abcdef"},
      {".nx-24.0.6-0123456789abcde", NameClass::local},
      {".nx-24.0.6-0123456789abcdeX", NameClass::local},
      {".nx-..-0123456789abcdef", NameClass::local},
      {"run.json", NameClass::local},
      {"terminalOutputs", NameClass::local},
      {"", NameClass::local},
  };
  for (const auto& one : cases) {
    auto place = layout->place(one.name);
    EXPECT_EQ(place.name_class, one.name_class) << one.name;
    EXPECT_EQ(place.name, one.target) << one.name;
    EXPECT_EQ(place.space, one.name_class == NameClass::entry ? "nx" : "") << one.name;
  }
}

TEST(NxLayoutTest, SetsAsideUnderOneNameOnly) {
  auto layout = make_nx_layout({}).value();
  EXPECT_EQ(layout->aside("12"), "12-backup");
  EXPECT_EQ(layout->set_aside("12-backup"), "12");
  EXPECT_EQ(layout->set_aside("x-backup"), std::nullopt);
  EXPECT_EQ(layout->set_aside("12"), std::nullopt);
}

TEST(NxLayoutTest, TakesNoRulesOfOthers) {
  EXPECT_FALSE(make_nx_layout({.pattern = "[0-9]+"}));
  EXPECT_FALSE(make_nx_layout({.complete = "close"}));
  EXPECT_FALSE(make_nx_layout({.space = "flat"}));
}

TEST(NxLayoutTest, NamesAWorkspaceByVersionAndId) {
  auto name = nx_workspace_name("24.0.6", "0123456789abcdef");
  EXPECT_EQ(nx_version_in(name), "24.0.6");
  EXPECT_EQ(nx_version_in("24.0.6-0123456789abcdef"), std::nullopt);
}

}  // namespace
}  // namespace hitfs
