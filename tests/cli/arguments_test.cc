#include "cli/arguments.h"

#include <gtest/gtest.h>

#include "cli/exit_codes.h"

namespace hitfs {

namespace {

std::variant<Arguments, ArgumentsEnd> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "hitfs");
  return parse_arguments(static_cast<int>(words.size()), words.data());
}

Arguments parsed(std::vector<const char*> words) {
  auto result = parse(std::move(words));
  if (const auto* end = std::get_if<ArgumentsEnd>(&result)) {
    ADD_FAILURE() << end->text;
    return {};
  }
  return std::get<Arguments>(result);
}

std::string refused(std::vector<const char*> words) {
  auto result = parse(std::move(words));
  const auto* end = std::get_if<ArgumentsEnd>(&result);
  if (end == nullptr) return "";
  EXPECT_EQ(end->exit_code, kUsage);
  return end->text;
}

}  // namespace

TEST(ArgumentsTest, CommandOfRunKeepsItsOwnOptions) {
  auto arguments = parsed({"run", "--mount", "d", "--", "make", "--store", "x", "--", "-j4"});
  EXPECT_EQ(arguments.words, (std::vector<std::string>{"make", "--store", "x", "--", "-j4"}));
  EXPECT_EQ(arguments.mount_point, "d");
  EXPECT_TRUE(arguments.settings.empty());
}

TEST(ArgumentsTest, SettingsStandBeforeAndAfterTheCommand) {
  auto put = parsed({"put", "--store", "s", "1", "p"});
  EXPECT_EQ(put.name + " " + put.path, "1 p") << "a setting takes one word only";
  auto arguments = parsed({"--store", "s", "status", "--json", "--remote", "file:///a", "--remote", "file:///b"});
  EXPECT_TRUE(arguments.json);
  ASSERT_EQ(arguments.settings.size(), 2u);
  EXPECT_EQ(arguments.settings[0].key, "remote");
  EXPECT_EQ(arguments.settings[0].values, (std::vector<std::string>{"file:///a", "file:///b"}));
  EXPECT_EQ(arguments.settings[1].origin, "--store");
}

TEST(ArgumentsTest, WhatIssueSectionTenPromises) {
  EXPECT_EQ(parsed({"serve", "--listen", "127.0.0.1:1", "--tokens", "f", "--store", "s"}).listen, "127.0.0.1:1");
  auto token = parsed({"token", "add", "--tokens", "f", "--name", "N", "--rights", "read,write"});
  EXPECT_EQ(token.command, "token add");
  EXPECT_EQ(token.rights, (std::vector<std::string>{"read", "write"}));
  auto mount = parsed({"mount", "d", "--layout", "flat", "--name", "n", "--pattern", "[0-9]+", "--complete", "close"});
  EXPECT_EQ(mount.mount_point, "d");
  EXPECT_EQ(mount.settings.size(), 3u);
  EXPECT_EQ(parsed({"unmount", "d"}).mount_point, "d");
  EXPECT_EQ(parsed({"stop", "--flush", "60s"}).settings.at(0).values.at(0), "60s");
  auto get = parsed({"get", "--namespace", "nx", "1", "p"});
  EXPECT_EQ(get.space + " " + get.name + " " + get.path, "nx 1 p");
  EXPECT_EQ(parsed({"put", "1", "p"}).space, "flat");
  EXPECT_TRUE(parsed({"status", "--json", "--follow"}).follow);
}

TEST(ArgumentsTest, MistakesAreNamedWithTheNearestWord) {
  EXPECT_NE(refused({"statsu"}).find("did you mean status?"), std::string::npos);
  EXPECT_NE(refused({"status", "--sotre", "x"}).find("--sotre"), std::string::npos);
  EXPECT_NE(refused({"run"}).find("hitfs run -- make"), std::string::npos);
  EXPECT_NE(refused({"status", "--", "make"}).find("only `hitfs run`"), std::string::npos);
  EXPECT_NE(refused({"run", "--require", "luck", "--", "make"}).find("--require"), std::string::npos);
  EXPECT_NE(refused({"serve"}).find("--tokens"), std::string::npos);
}

TEST(ArgumentsTest, HelpTeachesEachCommandWithAnExample) {
  auto all = std::get<ArgumentsEnd>(parse({"--help"}));
  EXPECT_EQ(all.exit_code, kDone);
  for (const char* word : {"run", "start", "stop", "serve", "mount", "unmount", "status", "flush", "why", "get", "put",
                           "verify", "config", "token"}) {
    EXPECT_NE(all.text.find(std::string("  ") + word), std::string::npos) << word;
    auto one = std::get<ArgumentsEnd>(parse({word, "--help"}));
    EXPECT_EQ(one.exit_code, kDone);
    EXPECT_NE(one.text.find(std::string("hitfs ") + word), std::string::npos) << one.text;
  }
  EXPECT_EQ(all.text.find("mount-worker"), std::string::npos) << "internal commands stay hidden";
}

}  // namespace hitfs
