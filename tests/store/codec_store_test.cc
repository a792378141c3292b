#include <gtest/gtest.h>

#include "store/codecs/intake_sink.h"
#include "store/codecs/stored_contents.h"
#include "store/entry_store.h"
#include "tests/support/golden.h"
#include "tests/support/memory_tree.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

using testing::golden;
using testing::MemorySink;
using testing::MemorySource;

// Artifacts on their way through a real store: unpacked into blobs, packed from them again.
class CodecStoreTest : public ::testing::Test {
 protected:
  // The artifact that the store packs from the tree it made of this one; its Error when it was refused.
  Result<std::string> through_the_store(const Key& key, const std::string& artifact) {
    const auto& codec = codec_for(key.space);
    auto intake = store_->begin();
    IntakeSink sink(*intake);
    MemorySource source(artifact, 5000);
    auto facts = codec.unpack(source, sink);
    if (!facts) return std::move(facts).error();
    ManifestHeader header;
    header.key = key;
    header.kind = sink.kind();
    if (facts->has_terminal_output) {
      header.terminal_output = intake->add_blob(io::as_bytes(facts->terminal_output)).value();
    }
    auto committed = intake->commit(sink.tree(), header, {});
    if (!committed) return std::move(committed).error();
    auto manifest = store_->reader().manifest(committed->entry_id);
    if (!manifest) return std::move(manifest).error();
    StoredContents contents(store_->reader());
    MemorySink packed;
    if (auto status = codec.pack((*manifest)->view(), contents, packed); !status) return std::move(status).error();
    return packed.text;
  }

  testing::TempDir dir_;
  std::unique_ptr<EntryStore> store_ = EntryStore::open({dir_ / "store"}, {}).value();
};

TEST_F(CodecStoreTest, OurArtifactsComeOutAsTheyWentIn) {
  std::string plain(200'000, 'p');
  for (const auto& artifact : {golden("flat-directory.tar.gz"), golden("flat-executable.gz"), plain, std::string()}) {
    auto back = through_the_store({"", "flat", "1f3a"}, artifact);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_TRUE(*back == artifact) << artifact.size() << " bytes went in, " << back->size() << " came out";
  }
  auto nx = golden("nx-packed.tar.gz");
  EXPECT_TRUE(through_the_store({"", "nx", "1"}, nx).value() == nx);
}

TEST_F(CodecStoreTest, ADamagedArtifactLeavesNothing) {
  auto artifact = golden("flat-directory.tar.gz");
  artifact[artifact.size() - 5] ^= 1;
  auto refused = through_the_store({"", "flat", "1f3a"}, artifact);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::corrupt);
  EXPECT_EQ(store_->stats().blobs, 0u);
  EXPECT_EQ(store_->stats().entries, 0u);
}

}  // namespace
}  // namespace hitfs
