#include "tests/drills/model_entries.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <cerrno>
#include <iterator>

namespace hitfs::testing {

namespace {

constexpr size_t kMostSaved = 12;
constexpr const char* kInTree = "/out";

}  // namespace

bool ModelEntries::step() {
  using Step = bool (ModelEntries::*)();
  constexpr std::array<Step, 12> kSteps{
      &ModelEntries::read_tree,      &ModelEntries::read_tree,      &ModelEntries::list_tree,
      &ModelEntries::look_at_remote, &ModelEntries::look_at_remote, &ModelEntries::look_for_nothing,
      &ModelEntries::save,           &ModelEntries::save_tree,      &ModelEntries::read_saved,
      &ModelEntries::read_saved,     &ModelEntries::remove_saved,   &ModelEntries::list_mount,
  };
  if (saved_.size() > kMostSaved) return remove_saved();
  return (this->*kSteps[any(kSteps.size())])();
}

bool ModelEntries::holds() {
  bool fine = true;
  for (const auto& [name, bytes] : saved_) fine &= calls_.file_is(mount_ / name, bytes);
  for (size_t i = 0; i < shared_.files.size(); ++i) {
    fine &= calls_.file_is(mount_ / shared_.tree / std::to_string(i), shared_.files[i]);
  }
  return fine;
}

// 16 hex digits, and the first of them says that it is saved by a load.
std::string ModelEntries::new_name() { return fmt::format("5a{:08x}{:06x}", number_, ++names_); }

std::string ModelEntries::bytes_of(const std::string& name, size_t size) {
  std::string bytes = name + ":";
  while (bytes.size() < size) bytes += std::to_string(random_());
  return bytes;
}

bool ModelEntries::write_new(const Path& path, const std::string& bytes) {
  auto file = calls_.create(path);
  return file && calls_.write(file.get(), bytes, 0);
}

bool ModelEntries::read_tree() {
  auto number = any(shared_.files.size());
  auto path = mount_ / shared_.tree / std::to_string(number);
  const auto& bytes = shared_.files[number];
  if (any(3) > 0) return calls_.file_is(path, bytes);
  auto file = calls_.open(path, O_RDONLY);
  return file && calls_.mapped_bytes_are(file.get(), path, bytes);
}

bool ModelEntries::list_tree() {
  std::set<std::string> names;
  for (size_t i = 0; i < shared_.files.size(); ++i) names.insert(std::to_string(i));
  return calls_.names_are(mount_ / shared_.tree, names);
}

bool ModelEntries::look_at_remote() {
  auto number = any(shared_.remote_names.size());
  auto path = mount_ / shared_.remote_names[number];
  bool here = remote_.here[number];
  if (!here) {
    auto found = calls_.look(path);
    if (found == CheckedCalls::Found::failed) return false;
    if (found == CheckedCalls::Found::no) return ++remote_.missed > 0;
    remote_.here[number] = true;
  }
  ++remote_.found;
  return calls_.file_is(path, shared_.remote_bytes[number]);
}

// A name that the remote is asked for, and one that is no entry's.
bool ModelEntries::look_for_nothing() {
  auto name = new_name();
  return calls_.missing(mount_ / name) && calls_.open_fails(mount_ / (name + ".not-an-entry"), ENOENT);
}

bool ModelEntries::save() {
  auto name = new_name();
  auto beside = mount_ / (name + ".tmp");
  auto bytes = bytes_of(name, 1 + any(60'000));
  if (!write_new(beside, bytes)) return false;
  auto file = calls_.open(beside, O_RDONLY);
  if (!file || !calls_.rename(beside, mount_ / name)) return false;
  saved_[name] = bytes;
  return calls_.missing(beside) && calls_.bytes_are(file.get(), mount_ / name, bytes, 0, bytes.size()) &&
         calls_.file_is(mount_ / name, bytes);
}

bool ModelEntries::save_tree() {
  auto name = new_name();
  auto beside = mount_ / (name + ".tmp");
  auto bytes = bytes_of(name, 1 + any(60'000));
  if (!calls_.mkdir(beside) || !write_new(beside / "out", bytes)) return false;
  if (!calls_.symlink("out", beside / "link") || !calls_.rename(beside, mount_ / name)) return false;
  saved_[name + kInTree] = bytes;
  return calls_.names_are(mount_ / name, {"out", "link"}) && calls_.link_is(mount_ / name / "link", "out") &&
         calls_.file_is(mount_ / name / "out", bytes);
}

bool ModelEntries::read_saved() {
  if (saved_.empty()) return save();
  const auto& [name, bytes] = *std::next(saved_.begin(), any(saved_.size()));
  return calls_.size_is(mount_ / name, bytes.size()) && calls_.file_is(mount_ / name, bytes);
}

bool ModelEntries::remove_saved() {
  if (saved_.empty()) return save_tree();
  auto gone = std::next(saved_.begin(), any(saved_.size()));
  auto name = gone->first;
  saved_.erase(gone);
  if (!calls_.unlink(mount_ / name)) return false;
  if (!name.ends_with(kInTree)) return calls_.missing(mount_ / name);
  auto tree = mount_ / Path(name).parent_path();
  return calls_.unlink(tree / "link") && calls_.rmdir(tree) && calls_.missing(tree);
}

bool ModelEntries::list_mount() {
  std::set<std::string> names;
  for (const auto& [name, bytes] : saved_) names.insert(*Path(name).begin());
  return calls_.names_are(mount_, names, fmt::format("5a{:08x}", number_));
}

}  // namespace hitfs::testing
