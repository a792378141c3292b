// Flipped bits in a real store: whoever reads it (get, mount, listener) gets the bytes that were stored, a miss or an
// error, never other bytes; and `verify` finds what is damaged. Each round flips one bit, or one byte, of a copy of the
// same store, at a place that a seed decides. HITFS_DRILL_LONG=1 (or HITFS_DRILL_FLIPS=n) for more rounds,
// HITFS_DRILL_SEED to repeat one run.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <random>

#include "fs/filesystem.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "sync/listener/cache_handler.h"
#include "tests/fs/mount_harness.h"
#include "tests/store/store_helpers.h"
#include "tests/support/raw_http.h"

namespace hitfs {
namespace {

using testing::bytes_of;
using testing::FastTempDir;
using testing::Files;
using testing::flat;
using testing::why;

constexpr std::string_view kToken = "s3cret";
constexpr const char* kBoot = "boot 1";

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// What a reader got.
struct Outcomes {
  uint64_t exact = 0, missed = 0, refused = 0, wrong = 0;

  template <typename Value>
  void count(const Result<Value>& got, const Value& expected) {
    if (got) return *got == expected ? void(++exact) : void(++wrong);
    ++(got.error().code == Code::not_found ? missed : refused);
  }
  [[nodiscard]] std::string text() const {
    return fmt::format("{} exact, {} missed, {} refused, {} wrong", exact, missed, refused, wrong);
  }
};

// The store that every round begins with, and what was put into it. Names lie one bit apart.
class Specimen {
 public:
  Specimen() {
    auto store = EntryStore::open(paths, {.boot_id = kBoot}).value();
    for (unsigned i = 0; i < 8; ++i) {
      auto name = fmt::format("00a{}", i);
      trees[name] = {{"small", fmt::format("tree {}", name)},
                     {"sub/tool", bytes_of(3000, i)},
                     {"sub/large", bytes_of(70'000, 100 + i)}};
      EXPECT_TRUE(testing::put_tree(*store, flat(name), trees[name], durable()));
      auto number = fmt::format("100{}", i);
      artifacts[number] = bytes_of(i % 2 == 0 ? 2000 : 80'000, 200 + i);
      EXPECT_TRUE(testing::put_artifact(*store, {"", "nx", number}, artifacts[number], durable()));
    }
  }

  FastTempDir folder;
  StorePaths paths{folder / "store"};
  std::map<std::string, Files> trees;            // by name, in namespace flat
  std::map<std::string, std::string> artifacts;  // by name, in namespace nx

 private:
  static CommitOptions durable() {
    CommitOptions options;
    options.durable = true;
    return options;
  }
};

// One kind of file that is damaged.
struct Target {
  std::string name;
  std::vector<std::filesystem::path> files;  // below the store's folder
  uint64_t flips = 0, found = 0;
};

std::vector<std::filesystem::path> files_below(const std::filesystem::path& root, const std::string& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& item : std::filesystem::recursive_directory_iterator(root / folder)) {
    if (item.is_regular_file() && item.file_size() > 0) files.push_back(item.path().lexically_relative(root));
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Reads everything of a store as a mount does.
class MountReading {
 public:
  MountReading(const StorePaths& paths, StoreReader& reader) : daemon_(DaemonClient::open(paths)) {
    LayoutOptions layout;
    layout.pattern = "[0-9a-f]{4}";
    layout_ = *make_layout(layout);
    fs::FilesystemOptions options;
    options.store = paths;
    options.mount_name = "tampered";
    options.boot_id = kBoot;
    filesystem_ = fs::Filesystem::open(options, *layout_, reader, *daemon_, references_, notifier_).value();
  }
  ~MountReading() { daemon_->interrupt(); }

  Result<std::string> read(const std::string& path) {
    fs::Number number = fs::kRootNumber;
    for (const auto& name : std::filesystem::path(path)) {
      fs::Pending<fs::NodeReply> found;
      filesystem_->lookup({}, number, name.string(), found.reply());
      auto node = found.get();
      if (!node) return error_of(node.error());
      number = node->attributes.number;
    }
    Result<std::string> bytes = Error{Code::internal, "unanswered"};
    filesystem_->read({}, number, 1 << 20, 0,
                      fs::Reply<std::span<const std::byte>>(
                          [&](const std::span<const std::byte>& got) { bytes = std::string(io::as_text(got)); },
                          [&](fs::FsError error) { bytes = error_of(error); }));
    return bytes;
  }

 private:
  static Error error_of(fs::FsError error) {
    return {error == fs::FsError::not_found ? Code::not_found : Code::corrupt, "refused"};
  }

  std::unique_ptr<DaemonClient> daemon_;
  std::unique_ptr<Layout> layout_;
  fs::FakeReferences references_;
  fs::FakeNotifier notifier_;
  std::unique_ptr<fs::Filesystem> filesystem_;
};

// A listener on a store, without a daemon behind it.
class ListenerReading {
 public:
  ListenerReading(const StorePaths& paths, StoreReader& reader)
      : daemon_(DaemonClient::open(paths)),
        uses_(*daemon_, "endpoint"),
        uploads_(paths, "endpoint"),
        parts_{reader, *daemon_, uploads_, uses_, quick_, waiting_, work_, Milliseconds(100), stop_.get_token()},
        handler_(parts_, {}, HostCheck::loopback_and({}), access_),
        server_(HttpServer::start(socket_.fd.get(), handler_, {}).value()) {}
  ~ListenerReading() {
    stop_.request_stop();
    daemon_->interrupt();
    server_->finish(Milliseconds(20'000));
    server_.reset();
    work_.wait_none();
  }

  Result<std::string> read(const std::string& name) {
    auto reply =
        testing::request(socket_.port, "GET", "/v1/cache/" + name, fmt::format("Authorization: Bearer {}\r\n", kToken));
    if (reply.status == 200) return reply.body;
    return Error{reply.status == 404 ? Code::not_found : Code::internal, std::to_string(reply.status)};
  }

 private:
  std::unique_ptr<DaemonClient> daemon_;
  UseReporter uses_;
  UploadFolder uploads_;
  std::stop_source stop_;
  WorkCount work_;
  ThreadPool quick_{1};
  ThreadPool waiting_{1};
  CacheParts parts_;
  LoopbackAccess access_{kToken};
  testing::ListeningSocket socket_ = testing::listen_on_loopback();
  CacheHandler handler_;
  std::unique_ptr<HttpServer> server_;
};

class TamperingDrill : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { log::set_level(log::Level::off); }
  static void TearDownTestSuite() { log::set_level(log::Level::info); }

  void SetUp() override {
    targets_ = {{"index.db", {"index.db"}},
                {"manifests", files_below(specimen_.paths.root, "manifests")},
                {"blobs", files_below(specimen_.paths.root, "cas")},
                {"packs", files_below(specimen_.paths.root, "packs")}};
    if (std::filesystem::file_size(specimen_.paths.root / "index.db-wal") > 0) {
      targets_.push_back({"index.db-wal", {"index.db-wal"}});
    }
    for (const auto& target : targets_) ASSERT_FALSE(target.files.empty()) << target.name;
  }

  void round(std::mt19937_64& random) {
    std::filesystem::remove_all(copy_.root);
    std::filesystem::copy(specimen_.paths.root, copy_.root, std::filesystem::copy_options::recursive);
    auto& target = targets_[random() % targets_.size()];
    ++target.flips;
    ASSERT_NO_FATAL_FAILURE(flip(target.files[random() % target.files.size()], random));
    read_everything();
    if (verify()) ++target.found;
  }

  // Changes a bit or a byte, and looks whether that is so.
  void flip(const std::filesystem::path& file, std::mt19937_64& random) {
    auto path = copy_.root / file;
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
    auto at = random() % std::filesystem::file_size(path);
    auto change = random() % 2 == 0 ? 1u << random() % 8 : 1 + random() % 255;
    where_ = fmt::format("{} byte {} xor {}", file.string(), at, change);
    std::fstream bytes(path, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(static_cast<std::streamoff>(at));
    int byte = bytes.get();
    bytes.seekp(static_cast<std::streamoff>(at));
    bytes.put(static_cast<char>(byte ^ static_cast<int>(change)));
    bytes.close();
    changed_ += io::read_file(path, 1 << 24).value() != io::read_file(specimen_.paths.root / file, 1 << 24).value();
  }

  void read_everything() {
    auto reader = StoreReader::open(copy_, kBoot);
    if (!reader) return void(++unreadable_);  // as a front that waits for the daemon to make a new index
    for (const auto& [name, files] : specimen_.trees) get_.count(testing::read_tree(**reader, flat(name)), files);
    for (const auto& [name, bytes] : specimen_.artifacts) get_.count(get_artifact(**reader, name), bytes);
    MountReading mount(copy_, **reader);
    for (const auto& [name, files] : specimen_.trees) {
      for (const auto& [path, bytes] : files) mount_.count(mount.read(name + "/" + path), bytes);
    }
    ListenerReading listener(copy_, **reader);
    for (const auto& [name, bytes] : specimen_.artifacts) listener_.count(listener.read(name), bytes);
  }

  static Result<std::string> get_artifact(StoreReader& reader, const std::string& name) {
    auto entry = reader.find({"", "nx", name});
    if (!entry) return std::move(entry).error();
    if (!entry->artifact) return Error{Code::corrupt, "an artifact without bytes"};
    return testing::read_blob(reader, *entry->artifact);
  }

  // True when something was found. Whatever is left afterwards is right.
  bool verify() {
    auto store = EntryStore::open(copy_, {.boot_id = kBoot});
    if (!store) {
      ++unopened_;
      ADD_FAILURE() << where_ << ": " << store.error().message;
      return true;
    }
    auto report = (*store)->verify(std::nullopt, {});
    bool found = !report || !report->damaged.empty() || std::filesystem::exists(copy_.index_damaged());
    Outcomes after;
    for (const auto& [name, files] : specimen_.trees) {
      after.count(testing::read_tree((*store)->reader(), flat(name)), files);
    }
    for (const auto& [name, bytes] : specimen_.artifacts) after.count(get_artifact((*store)->reader(), name), bytes);
    EXPECT_EQ(after.wrong, 0u) << "after verify: " << where_;
    // An index that was given up at once has nothing left to find.
    return found || after.exact == 0;
  }

  [[nodiscard]] uint64_t wrong() const { return get_.wrong + mount_.wrong + listener_.wrong; }

  void print(uint64_t rounds, uint64_t seed) const {
    std::string flips;
    for (const auto& target : targets_) {
      flips += fmt::format(", {} {} (verify found {})", target.name, target.flips, target.found);
    }
    fmt::print("[ drill    ] tampering: seed {}, {} flips, {} changed a file{}\n", seed, rounds, changed_, flips);
    fmt::print("[ drill    ] get: {}; mount: {}; listener: {}; no reader {}, no daemon {}\n", get_.text(),
               mount_.text(), listener_.text(), unreadable_, unopened_);
  }

  Specimen specimen_;
  FastTempDir folder_;
  StorePaths copy_{folder_ / "copy"};
  std::vector<Target> targets_;
  Outcomes get_, mount_, listener_;
  uint64_t changed_ = 0, unreadable_ = 0, unopened_ = 0;
  std::string where_;
};

TEST_F(TamperingDrill, NobodyReadsAWrongByte) {
  bool is_long = std::getenv("HITFS_DRILL_LONG") != nullptr;
  auto rounds = number_from("HITFS_DRILL_FLIPS", is_long ? 20'000 : 200);
  auto seed = number_from("HITFS_DRILL_SEED", is_long ? std::random_device()() : 5);
  std::mt19937_64 random(seed);
  for (uint64_t i = 0; i < rounds && !HasFatalFailure(); ++i) {
    auto before = wrong();
    round(random);
    EXPECT_EQ(wrong(), before) << "round " << i << ": " << where_;
  }
  print(rounds, seed);
  EXPECT_EQ(changed_, rounds);
  EXPECT_GT(get_.refused + get_.missed, rounds / 10) << "the damage must be where somebody reads";
  for (const auto& target : targets_) {
    EXPECT_GT(target.flips, rounds / 10) << target.name;
    if (target.name == "blobs" || target.name == "manifests") {
      EXPECT_EQ(target.found, target.flips) << "every byte counts in " << target.name;
    }
  }
}

}  // namespace
}  // namespace hitfs
