#include "store/key.h"

#include <gtest/gtest.h>

namespace hitfs {
namespace {

TEST(KeyTest, TextRoundTripsForAnyByte) {
  std::string name;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte != '/') name += static_cast<char>(byte);
  }
  auto key = Key::make("pr/123", "flat", name);
  ASSERT_TRUE(key);
  auto again = Key::parse(key->text(), "nx");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *key);
}

TEST(KeyTest, ANameAloneBelongsToTheDefaultNamespace) {
  auto key = Key::parse("1f3a", "flat");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->text(), "flat/1f3a");
}

TEST(KeyTest, RefusesWhatCannotBeAName) {
  EXPECT_FALSE(Key::make("", "flat", ""));
  EXPECT_FALSE(Key::make("", "flat", ".."));
  EXPECT_FALSE(Key::make("", "flat", "a/b"));
  EXPECT_FALSE(Key::make("", "flat", std::string("a\0b", 3)));
  EXPECT_FALSE(Key::make("", "flat", std::string(256, 'a')));
  EXPECT_FALSE(Key::make("", "Flat", "a"));
  EXPECT_FALSE(Key::parse("flat/%4", "nx"));
}

TEST(RemoteKeyTest, OnlyTheProtocolsOwnNamespaceInTheEmptyScopeKeepsPlainNames) {
  auto nx = RemoteKey::of({"", "nx", "123"}, 0, "nx");
  EXPECT_TRUE(nx.plain);
  EXPECT_EQ(nx.name, "123");
  for (const auto& hashed : {RemoteKey::of({"", "flat", "123"}, 0, "nx"), RemoteKey::of({"pr/1", "nx", "123"}, 0, "nx"),
                             RemoteKey::of({"", "nx", "123"}, 1, "nx"), RemoteKey::of({"", "nx", "123"}, 0, "")}) {
    EXPECT_FALSE(hashed.plain);
    EXPECT_EQ(hashed.name.size(), 64u);
  }
}

TEST(RemoteKeyTest, WhatAServerHoldsForOthersIsAskedForByTheSameName) {
  auto asked = RemoteKey::of({"", "flat", "123"}, 0, "nx");
  auto passed_on = RemoteKey::of({"", "raw", asked.name}, 7, "nx");
  EXPECT_EQ(passed_on.name, asked.name);
  EXPECT_NE(RemoteKey::of({"pr/1", "raw", asked.name}, 0, "nx").name, asked.name);
}

TEST(RemoteKeyTest, FieldsCannotRunIntoEachOther) {
  EXPECT_NE(RemoteKey::of({"a", "flat", "bc"}, 0, "").name, RemoteKey::of({"ab", "flat", "c"}, 0, "").name);
  // A name on a server is forever: this value must not change.
  EXPECT_EQ(RemoteKey::of({"", "flat", "1f3a"}, 0, "nx").name, RemoteKey::of({"", "flat", "1f3a"}, 0, "").name);
}

}  // namespace
}  // namespace hitfs
