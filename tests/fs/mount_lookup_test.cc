// What a name shows: this mount, the store, remotes; and how long a program may have to wait for it.
#include <gtest/gtest.h>

#include "fs/numbers.h"
#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

using testing::TreeText;

const TreeText kTree = {{"bin/tool", "binary"}, {"readme", "text"}, {"link@", "bin/tool"}, {"empty/", ""}};

TEST(MountLookupTest, ShowsAnEntryOfTheStore) {
  MountHarness mount;
  auto entry = mount.store.commit(MountHarness::key("00aa"), kTree);
  auto top = mount.lookup(kRootNumber, "00aa");
  ASSERT_TRUE(top);
  EXPECT_EQ(top->attributes.number, entry.id);
  EXPECT_EQ(top->attributes.type, FileType::directory);
  EXPECT_EQ(top->attributes.uid, 1234u);
  EXPECT_EQ(top->entry_timeout, std::chrono::seconds(60));
  EXPECT_EQ(top->attributes.mtime_ns, entry.created_ns) << "the top shows when the entry came here";
  auto file = mount.lookup(mount.number_at("00aa/bin"), "tool");
  ASSERT_TRUE(file);
  EXPECT_TRUE(is_committed(file->attributes.number));
  EXPECT_GT(file->entry_timeout, std::chrono::hours(24)) << "below an entry nothing changes";
  EXPECT_GT(file->attribute_timeout, std::chrono::hours(24));
  EXPECT_EQ(file->attributes.mtime_ns, 1'500'000'000'000'000'000) << "inside, times are the source's";
  EXPECT_EQ(*mount.read(file->attributes.number), "binary");
  EXPECT_EQ(*mount.read(file->attributes.number, 3, 2), "ar");
  EXPECT_EQ(*mount.read(file->attributes.number, 100), "");
  EXPECT_EQ(*mount.read_link(mount.number_at("00aa/link")), "bin/tool");
  EXPECT_EQ(mount.lookup(entry.id, "none").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 0u);
}

TEST(MountLookupTest, AnEntryCanBeOneFile) {
  MountHarness mount;
  mount.store.commit(MountHarness::key("00ab"), {{"", "content"}});
  EXPECT_EQ(*mount.read_at("00ab"), "content");
  EXPECT_EQ(mount.lookup(mount.number_at("00ab"), "x").error(), FsError::not_directory);
}

TEST(MountLookupTest, NamesThatAreNoEntryNeverAskARemote) {
  MountHarness mount;
  EXPECT_EQ(mount.lookup(kRootNumber, "node_modules").error(), FsError::not_found);
  EXPECT_EQ(mount.lookup(kRootNumber, "00aa-backup").error(), FsError::not_found);
  Number directory = mount.make_directory(kRootNumber, "d")->attributes.number;
  EXPECT_EQ(mount.lookup(directory, "00aa").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 0u);
}

TEST(MountLookupTest, PullsAnEntryThatARemoteHas) {
  MountHarness mount;
  mount.daemon.remote_has(MountHarness::key("00ac"), kTree);
  EXPECT_EQ(*mount.read_at("00ac/readme"), "text");
}

TEST(MountLookupTest, ManyLookupsOfOneNameAskOnce) {
  MountHarness mount;
  mount.daemon.remote_has(MountHarness::key("00ac"), kTree);
  mount.daemon.hold_fetches(true);
  std::vector<Pending<NodeReply>> waiting(50);
  for (auto& one : waiting) mount.fs().lookup({}, kRootNumber, "00ac", one.reply());
  EXPECT_EQ(mount.daemon.fetches(), 1u);
  EXPECT_FALSE(waiting.front().is_ready());
  mount.daemon.answer_fetches();
  for (auto& one : waiting) EXPECT_TRUE(one.get());
}

TEST(MountLookupTest, AWaitingLookupHoldsUpNothingElse) {
  MountHarness mount;
  mount.daemon.hold_fetches(true);
  Pending<NodeReply> waiting;
  mount.fs().lookup({}, kRootNumber, "00ad", waiting.reply());
  mount.write_file(kRootNumber, "f", "x");
  EXPECT_EQ(mount.list(kRootNumber), std::vector<std::string>{"f"});
  EXPECT_FALSE(waiting.is_ready());
}

TEST(MountLookupTest, ALookupWaitsNoLongerThanItsPatienceAndThePullGoesOn) {
  MountHarness mount;
  mount.daemon.remote_has(MountHarness::key("00ae"), kTree);
  mount.daemon.hold_fetches(true);
  Pending<NodeReply> waiting;
  mount.fs().lookup({}, kRootNumber, "00ae", waiting.reply());
  mount.clock.advance(std::chrono::seconds(3));
  EXPECT_EQ(waiting.get().error(), FsError::not_found);
  mount.daemon.answer_fetches();
  EXPECT_EQ(*mount.read_at("00ae/readme"), "text");
  EXPECT_EQ(mount.daemon.fetches(), 1u);
}

TEST(MountLookupTest, AnInterruptedLookupEndsAndTheOthersGoOn) {
  MountHarness mount;
  mount.daemon.remote_has(MountHarness::key("00af"), kTree);
  mount.daemon.hold_fetches(true);
  Pending<NodeReply> interrupted;
  Pending<NodeReply> patient;
  mount.fs().lookup({.unique = 7}, kRootNumber, "00af", interrupted.reply());
  mount.fs().lookup({.unique = 9}, kRootNumber, "00af", patient.reply());
  mount.fs().interrupt(7);
  EXPECT_EQ(interrupted.get().error(), FsError::interrupted);
  EXPECT_FALSE(patient.is_ready());
  mount.daemon.answer_fetches();
  EXPECT_TRUE(patient.get());
}

TEST(MountLookupTest, AnInterruptThatOvertakesItsLookupCountsAsWell) {
  MountHarness mount;
  mount.daemon.hold_fetches(true);
  mount.fs().interrupt(11);
  EXPECT_EQ(mount.lookup(kRootNumber, "00b0", 11).error(), FsError::interrupted);
}

TEST(MountLookupTest, ANoIsRememberedForAMinute) {
  MountHarness mount;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(mount.lookup(kRootNumber, "00b1").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 1u);
  mount.clock.advance(std::chrono::seconds(61));
  EXPECT_EQ(mount.lookup(kRootNumber, "00b1").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 2u);
}

TEST(MountLookupTest, ANoIsForgottenWhenTheKeyIsCommittedOrTheDaemonIsNew) {
  MountHarness mount;
  EXPECT_EQ(mount.lookup(kRootNumber, "00b2").error(), FsError::not_found);
  mount.event(DaemonEvent::Kind::committed, MountHarness::key("00b2"), 0);
  EXPECT_TRUE(mount.notifier.heard(kRootNumber, "00b2"));
  EXPECT_EQ(mount.lookup(kRootNumber, "00b2").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 2u);
  EventBatch batch;
  batch.reset = true;
  mount.fs().on_events(batch);
  EXPECT_EQ(mount.lookup(kRootNumber, "00b2").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 3u);
}

TEST(MountLookupTest, WithoutDaemonAnUnknownNameIsAMissAtOnceAndAskedForAgainSoon) {
  MountHarness mount;
  mount.store.commit(MountHarness::key("00b3"), kTree);
  mount.daemon.set_up(false);
  EXPECT_EQ(*mount.read_at("00b3/readme"), "text") << "local hits go on";
  for (int i = 0; i < 20; ++i) EXPECT_EQ(mount.lookup(kRootNumber, "00b4").error(), FsError::not_found);
  EXPECT_EQ(mount.daemon.fetches(), 1u);
  mount.daemon.set_up(true);
  mount.daemon.remote_has(MountHarness::key("00b4"), kTree);
  mount.clock.advance(std::chrono::milliseconds(1100));
  EXPECT_TRUE(mount.lookup(kRootNumber, "00b4"));
}

TEST(MountLookupTest, AStoreThatCannotBeReadIsAMiss) {
  MountHarness mount;
  mount.store.commit(MountHarness::key("00b5"), kTree);
  mount.daemon.set_up(false);
  mount.store.break_index(true);
  EXPECT_EQ(mount.lookup(kRootNumber, "00b5").error(), FsError::not_found);
  mount.write_file(kRootNumber, "f", "x");
  EXPECT_EQ(mount.list(kRootNumber), std::vector<std::string>{"f"});
}

TEST(MountLookupTest, DamagedBytesAreAnErrorAndAreReported) {
  MountHarness mount;
  mount.store.commit(MountHarness::key("00b6"), kTree);
  Number file = mount.number_at("00b6/readme");
  mount.store.damage_blobs();
  EXPECT_EQ(mount.read(file).error(), FsError::io);
  EXPECT_EQ(mount.read(file).error(), FsError::io);
  mount.daemon.wait_for_calls(1);
  EXPECT_EQ(mount.daemon.calls(), std::vector<std::string>{R"(POST /v1/verify {"key":"flat/00b6"})"});
}

TEST(MountLookupTest, WaitingLookupsAreAnsweredWhenTheWorkerEnds) {
  MountHarness mount;
  mount.daemon.hold_fetches(true);
  Pending<NodeReply> waiting;
  mount.fs().lookup({}, kRootNumber, "00b7", waiting.reply());
  mount.stop();
  EXPECT_EQ(waiting.get().error(), FsError::not_found);
  mount.daemon.answer_fetches();
}

TEST(MountLookupTest, CountsAUsePerEntryAndReport) {
  MountHarness mount;
  auto entry = mount.store.commit(MountHarness::key("00b8"), kTree);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(mount.lookup(kRootNumber, "00b8"));
  auto uses = mount.fs().take_uses();
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].entry_id, entry.id);
  EXPECT_EQ(uses[0].key, entry.key);
  EXPECT_TRUE(mount.fs().take_uses().empty());
  ASSERT_TRUE(mount.set(entry.id, {.mtime_ns = 5}));
  EXPECT_EQ(mount.fs().take_uses().size(), 1u) << "utimens is a use";
}

TEST(MountLookupTest, ReferencesFollowWhatIsHandedOut) {
  MountHarness mount;
  auto entry = mount.store.commit(MountHarness::key("00b9"), kTree);
  ASSERT_TRUE(mount.lookup(kRootNumber, "00b9"));
  auto file = mount.lookup(entry.id, "readme");
  EXPECT_EQ(mount.references.count(entry.id), 2u);
  auto listed = mount.list_page(entry.id, 0, 100, true);
  EXPECT_EQ(listed.size(), 6u);
  EXPECT_EQ(mount.references.count(entry.id), 6u) << "four names more, and not for the dots";
  mount.list_page(entry.id, 0, 100, false);
  EXPECT_EQ(mount.references.count(entry.id), 6u);
  mount.fs().forget(file->attributes.number, 2);
  mount.fs().forget(entry.id, 4);
  EXPECT_EQ(mount.references.count(entry.id), 0u);
}

}  // namespace
}  // namespace hitfs::fs
