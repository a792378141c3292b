// Random operations against a model that is a plain tree of strings: whatever happens in between (a worker dies, the
// daemon commits, is away or comes back, entries are retired, the mount is mounted again), the mount shows what the
// model says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "fs/numbers.h"
#include "store/base/log.h"
#include "tests/fs/mount_harness.h"

namespace hitfs::fs {
namespace {

// A file or link (bytes) or a directory (children).
struct ModelNode {
  FileType type = FileType::file;
  std::string bytes;
  std::map<std::string, ModelNode> children;
};

bool is_entry_name(const std::string& name) {
  return name.size() == 4 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// HITFS_MODEL_SEED=N runs other seeds than the usual ones: N + 1, N + 2, ...
uint32_t first_seed() {
  const char* text = std::getenv("HITFS_MODEL_SEED");
  return text == nullptr ? 0 : static_cast<uint32_t>(std::atoi(text));
}

class ModelTest : public ::testing::TestWithParam<int> {
 protected:
  ModelTest() : random_(first_seed() + static_cast<uint32_t>(GetParam())) { root_.type = FileType::directory; }

  size_t pick(size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random_); }
  bool one_in(size_t n) { return pick(n) == 0; }

  std::string top_name() {
    static const std::vector<std::string> kNames = {"0001", "0002", "0003", "a", "b", "c", "0001-backup"};
    return kNames[pick(kNames.size())];
  }
  std::string inner_name() { return std::string(1, static_cast<char>('p' + pick(4))); }

  // A random directory of the model, as path; "" is the root.
  std::string some_directory() {
    std::string path;
    const ModelNode* node = &root_;
    while (!node->children.empty() && !one_in(3)) {
      auto child = node->children.begin();
      std::advance(child, pick(node->children.size()));
      if (child->second.type != FileType::directory) break;
      path += (path.empty() ? "" : "/") + child->first;
      node = &child->second;
    }
    return path;
  }
  std::string name_in(const std::string& directory) { return directory.empty() ? top_name() : inner_name(); }

  ModelNode* at(const std::string& path) {
    ModelNode* node = &root_;
    size_t begin = 0;
    while (begin < path.size()) {
      size_t slash = std::min(path.find('/', begin), path.size());
      auto child = node->children.find(path.substr(begin, slash - begin));
      if (child == node->children.end()) return nullptr;
      node = &child->second;
      begin = slash + 1;
    }
    return node;
  }
  static std::string join(const std::string& directory, const std::string& name) {
    return directory.empty() ? name : directory + "/" + name;
  }
  // The entry that a path lies in, as the mount must treat it: a name at the top that was completed.
  bool in_entry(const std::string& path) { return entries_.contains(path.substr(0, path.find('/'))); }

  // Runs `body` with the number of a directory, handed out.
  template <typename Body>
  void with(const std::string& path, Body body) {
    auto numbers = mount_.walk(path);
    ASSERT_TRUE(path.empty() || !numbers.empty()) << path;
    body(path.empty() ? kRootNumber : numbers.back());
    mount_.forget(numbers);
  }

  void step();
  void create();
  void write();
  void truncate();
  void remove();
  void rename();
  void disturb();
  void compare() { compare_directory("", root_); }
  void compare_directory(const std::string& path, const ModelNode& node);

  std::mt19937 random_;
  MountHarness mount_;
  ModelNode root_;
  std::set<std::string> entries_;  // top-level names that are entries, or on their way
  bool away_ = false;
  uint64_t unique_ = 2;
};

void ModelTest::create() {
  auto directory = some_directory();
  auto name = name_in(directory);
  auto* parent = at(directory);
  auto type = std::array{FileType::file, FileType::directory, FileType::symlink}[pick(3)];
  with(directory, [&](Number number) {
    unique_ += 2;
    auto make = [&] {
      switch (type) {
        case FileType::file: return mount_.create(number, name, 0644, unique_);
        case FileType::directory: return mount_.make_directory(number, name, unique_);
        case FileType::symlink: break;
      }
      return mount_.make_symlink(number, name, "target");
    };
    auto made = make();
    if (parent->children.contains(name)) {
      ASSERT_FALSE(made) << join(directory, name);
      EXPECT_EQ(made.error(), FsError::exists);
      return;
    }
    ASSERT_TRUE(made) << join(directory, name);
    Number given = made->attributes.number;
    mount_.fs().forget(given, 1);
    // The reply got lost with the worker, and the request comes again.
    if (type != FileType::symlink && one_in(10)) {
      mount_.restart();
      auto again = make();
      ASSERT_TRUE(again);
      EXPECT_EQ(again->attributes.number, given);
      mount_.fs().forget(given, 1);
    }
    parent->children[name] = {type, type == FileType::symlink ? "target" : "", {}};
  });
}

void ModelTest::write() {
  auto directory = some_directory();
  auto* parent = at(directory);
  for (auto& [name, node] : parent->children) {
    if (node.type != FileType::file || one_in(2)) continue;
    auto path = join(directory, name);
    with(path, [&, &node = node](Number number) {
      size_t offset = pick(node.bytes.size() + 3);
      std::string bytes(1 + pick(5), static_cast<char>('A' + pick(26)));
      auto written = mount_.write(number, bytes, offset);
      ASSERT_TRUE(written) << path << " error " << static_cast<int>(written.error());
      if (node.bytes.size() < offset + bytes.size()) node.bytes.resize(offset + bytes.size());
      node.bytes.replace(offset, bytes.size(), bytes);
    });
    return;
  }
}

void ModelTest::truncate() {
  auto directory = some_directory();
  auto* parent = at(directory);
  for (auto& [name, node] : parent->children) {
    if (node.type != FileType::file || one_in(2)) continue;
    with(join(directory, name), [&, &node = node](Number number) {
      size_t size = pick(node.bytes.size() + 2);
      ASSERT_TRUE(mount_.resize(number, size));
      node.bytes.resize(size);
      ASSERT_TRUE(mount_.set(number, {.mode = 0600}));
    });
    return;
  }
}

void ModelTest::remove() {
  auto directory = some_directory();
  auto name = name_in(directory);
  auto* parent = at(directory);
  with(directory, [&](Number number) {
    bool as_directory = one_in(2);
    unique_ += 2;
    auto removed = as_directory ? mount_.remove_directory(number, name, unique_) : mount_.unlink(number, name, unique_);
    auto child = parent->children.find(name);
    if (child == parent->children.end()) {
      ASSERT_FALSE(removed);
      EXPECT_EQ(removed.error(), FsError::not_found);
      return;
    }
    bool is_directory = child->second.type == FileType::directory;
    if (is_directory != as_directory) {
      ASSERT_FALSE(removed);
      EXPECT_EQ(removed.error(), is_directory ? FsError::is_directory : FsError::not_directory);
    } else if (!child->second.children.empty()) {
      ASSERT_FALSE(removed);
      EXPECT_EQ(removed.error(), FsError::not_empty);
    } else {
      ASSERT_TRUE(removed) << join(directory, name);
      parent->children.erase(child);
      if (directory.empty()) entries_.erase(name);
    }
  });
}

void ModelTest::rename() {
  auto from = some_directory();
  auto to = some_directory();
  auto name = name_in(from);
  auto new_name = name_in(to);
  auto path = join(from, name);
  auto new_path = join(to, new_name);
  auto* source = at(path);
  auto* target = at(new_path);
  if (source == nullptr || path == new_path || (to + "/").starts_with(path + "/")) return;
  auto numbers = mount_.walk(from);
  auto new_numbers = mount_.walk(to);
  auto renamed = mount_.rename(from.empty() ? kRootNumber : numbers.back(), name,
                               to.empty() ? kRootNumber : new_numbers.back(), new_name, unique_ += 2);
  mount_.forget(numbers);
  mount_.forget(new_numbers);
  bool at_top = to.empty() && entries_.contains(new_name);
  if (!renamed && renamed.error() == FsError::cross_device) {
    EXPECT_TRUE(in_entry(path)) << path;
    return;
  }
  // An entry itself never moves.
  ASSERT_FALSE(renamed && from.empty() && entries_.contains(name)) << path;
  if (target != nullptr) {
    bool directories = source->type == FileType::directory && target->type == FileType::directory;
    if (source->type == FileType::directory && !directories) {
      ASSERT_FALSE(renamed);
      EXPECT_EQ(renamed.error(), FsError::not_directory);
      return;
    }
    if (target->type == FileType::directory && !directories) {
      ASSERT_FALSE(renamed);
      EXPECT_EQ(renamed.error(), FsError::is_directory);
      return;
    }
    if (directories && !target->children.empty() && !at_top) {
      ASSERT_FALSE(renamed);
      EXPECT_EQ(renamed.error(), FsError::not_empty);
      return;
    }
  }
  ASSERT_TRUE(renamed) << path << " -> " << new_path << " error " << static_cast<int>(renamed.error());
  ModelNode moved = std::move(*source);
  at(from)->children.erase(name);
  bool from_entry_name = from.empty() && is_entry_name(name);
  if (to.empty()) entries_.erase(new_name);
  if (to.empty() && is_entry_name(new_name) && !from_entry_name && moved.type != FileType::symlink) {
    entries_.insert(new_name);
  }
  at(to)->children[new_name] = std::move(moved);
}

void ModelTest::disturb() {
  switch (pick(6)) {
    case 0: return mount_.restart();
    case 1:
      away_ = !away_;
      mount_.daemon.set_up(!away_);
      return mount_.fs().resume_commits();
    case 2:
      if (!away_) {
        mount_.fs().resume_commits();
        mount_.wait_until_committed();
      }
      return;
    case 3: {
      CollectingFiller filler(100, true);
      Pending<Ok> pending;
      mount_.fs().read_directory({}, kRootNumber, 0, filler, pending.reply());
      ASSERT_TRUE(pending.get());
      for (const auto& listed : filler.listed()) {
        bool dot = listed.name == "." || listed.name == "..";
        if (!dot && listed.node.handed_out) mount_.fs().forget(listed.node.attributes.number, 1);
      }
      return;
    }
    case 4:
      for (uint64_t id : mount_.fs().take_released()) mount_.store.release(id);
      return;
    case 5: mount_.clock.advance(std::chrono::seconds(pick(100))); return;
  }
}

void ModelTest::step() {
  switch (pick(12)) {
    case 0:
    case 1:
    case 2: return create();
    case 3:
    case 4: return write();
    case 5: return truncate();
    case 6:
    case 7: return remove();
    case 8:
    case 9:
    case 10: return rename();
    case 11: return disturb();
  }
}

void ModelTest::compare_directory(const std::string& path, const ModelNode& node) {
  with(path, [&](Number number) {
    auto names = mount_.list(number, 1 + pick(5), one_in(2));
    std::sort(names.begin(), names.end());
    std::vector<std::string> expected;
    for (const auto& [name, child] : node.children) expected.push_back(name);
    ASSERT_EQ(names, expected) << path;
  });
  for (const auto& [name, child] : node.children) {
    auto below = join(path, name);
    if (child.type == FileType::directory) {
      compare_directory(below, child);
      if (HasFatalFailure()) return;
      continue;
    }
    with(below, [&, &node = child](Number number) {
      auto attributes = mount_.attributes(number);
      ASSERT_TRUE(attributes) << below;
      EXPECT_EQ(attributes->attributes.type, node.type) << below;
      EXPECT_EQ(attributes->attributes.size, node.bytes.size()) << below;
      auto bytes = node.type == FileType::file ? mount_.read(number) : mount_.read_link(number);
      ASSERT_TRUE(bytes) << below;
      EXPECT_EQ(*bytes, node.bytes) << below;
    });
    if (HasFatalFailure()) return;
  }
}

TEST_P(ModelTest, ShowsWhatTheModelSays) {
  log::set_level(log::Level::error);
  for (int i = 0; i < 3000; ++i) {
    step();
    if (i % 25 == 0) compare();
    ASSERT_FALSE(HasFailure()) << "step " << i << " of seed " << first_seed() + static_cast<uint32_t>(GetParam());
  }
  mount_.daemon.set_up(true);
  mount_.fs().resume_commits();
  mount_.wait_until_committed();
  compare();
  mount_.restart();
  compare();
  // What was completed is an entry now; nothing else is.
  for (const auto& entry : mount_.store.visible()) EXPECT_TRUE(is_entry_name(entry.key.name));
  log::set_level(log::Level::info);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Range(1, 17));

}  // namespace
}  // namespace hitfs::fs
