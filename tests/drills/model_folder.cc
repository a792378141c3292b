#include "tests/drills/model_folder.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <iterator>

namespace hitfs::testing {

namespace {

constexpr size_t kMostFiles = 24;
constexpr size_t kMostFolders = 4;
constexpr size_t kLargest = 48 * 1024;

}  // namespace

bool ModelFolder::step() {
  if (!made_) return made_ = calls_.mkdir(folder_);
  if (files_.empty()) return create();
  using Step = bool (ModelFolder::*)();
  constexpr std::array<Step, 19> kSteps{
      &ModelFolder::create,        &ModelFolder::create,      &ModelFolder::write,   &ModelFolder::write,
      &ModelFolder::truncate,      &ModelFolder::read,        &ModelFolder::read,    &ModelFolder::map,
      &ModelFolder::move_file,     &ModelFolder::move_folder, &ModelFolder::remove,  &ModelFolder::remove_open,
      &ModelFolder::make_folder,   &ModelFolder::list,        &ModelFolder::missing, &ModelFolder::links,
      &ModelFolder::remove_folder, &ModelFolder::change_mode, &ModelFolder::sync,
  };
  if (files_.size() > kMostFiles) return remove();
  return (this->*kSteps[any(kSteps.size())])();
}

bool ModelFolder::holds() {
  if (!made_) return true;
  bool fine = calls_.names_are(folder_, names_in(""));
  for (const auto& folder : folders_) fine &= calls_.names_are(at(folder), names_in(folder));
  for (const auto& [name, bytes] : files_)
    fine &= calls_.size_is(at(name), bytes.size()) && calls_.file_is(at(name), bytes);
  return fine;
}

std::string ModelFolder::noise(size_t most) {
  std::string bytes(1 + any(most), '\0');
  auto word = random_();
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 4 == 0) word = word * 1664525 + 1013904223;
    bytes[i] = static_cast<char>(word >> (8 * (i % 4)));
  }
  return bytes;
}

ModelFolder::Files::iterator ModelFolder::any_file() { return std::next(files_.begin(), any(files_.size())); }

// Of a file that is not there: at the top or in a subfolder.
std::string ModelFolder::new_name() {
  auto name = "f" + std::to_string(++names_);
  auto place = any(folders_.size() + 1);
  return place == folders_.size() ? name : *std::next(folders_.begin(), place) + "/" + name;
}

std::set<std::string> ModelFolder::names_in(const std::string& subfolder) const {
  std::set<std::string> names;
  if (subfolder.empty()) names = folders_;
  for (const auto& [name, bytes] : files_) {
    auto slash = name.find('/');
    auto parent = slash == std::string::npos ? "" : name.substr(0, slash);
    if (parent == subfolder) names.insert(slash == std::string::npos ? name : name.substr(slash + 1));
  }
  return names;
}

bool ModelFolder::create() {
  auto name = new_name();
  auto file = calls_.create(at(name));
  if (!file) return false;
  auto bytes = noise(kLargest);
  auto half = bytes.size() / 2;
  if (!calls_.write(file.get(), std::string_view(bytes).substr(0, half), 0)) return false;
  if (!calls_.write(file.get(), std::string_view(bytes).substr(half), half)) return false;
  files_[name] = std::move(bytes);
  return calls_.create_fails(at(name), EEXIST);
}

bool ModelFolder::write() {
  auto& [name, bytes] = *any_file();
  auto file = calls_.open(at(name), O_RDWR);
  if (!file) return false;
  auto more = noise(20'000);
  auto offset = any(bytes.size() + 1);
  if (!calls_.write(file.get(), more, offset)) return false;
  if (bytes.size() < offset + more.size()) bytes.resize(offset + more.size());
  bytes.replace(offset, more.size(), more);
  return calls_.bytes_are(file.get(), at(name), bytes, 0, bytes.size());
}

bool ModelFolder::truncate() {
  auto& [name, bytes] = *any_file();
  auto file = calls_.open(at(name), O_RDWR);
  if (!file) return false;
  auto size = any(kLargest);
  if (!calls_.truncate(file.get(), size)) return false;
  bytes.resize(size);
  return calls_.size_is(at(name), size) && calls_.bytes_are(file.get(), at(name), bytes, 0, size);
}

bool ModelFolder::read() {
  auto& [name, bytes] = *any_file();
  auto file = calls_.open(at(name), O_RDONLY);
  auto offset = any(bytes.size() + 1);
  return file && calls_.bytes_are(file.get(), at(name), bytes, offset, bytes.size() - offset);
}

bool ModelFolder::map() {
  auto& [name, bytes] = *any_file();
  auto file = calls_.open(at(name), O_RDONLY);
  return file && (bytes.empty() || calls_.mapped_bytes_are(file.get(), at(name), bytes));
}

// To a new name or over another file, while it is open.
bool ModelFolder::move_file() {
  auto from = any_file();
  auto name = from->first;
  auto to = any(2) == 0 ? any_file()->first : new_name();
  if (to == name) return true;
  auto file = calls_.open(at(name), O_RDONLY);
  if (!file || !calls_.rename(at(name), at(to))) return false;
  auto bytes = std::move(from->second);
  files_.erase(from);
  files_[to] = bytes;
  return calls_.missing(at(name)) && calls_.bytes_are(file.get(), at(to), bytes, 0, bytes.size()) &&
         calls_.file_is(at(to), bytes);
}

bool ModelFolder::move_folder() {
  if (folders_.empty()) return make_folder();
  auto from = *std::next(folders_.begin(), any(folders_.size()));
  auto to = "d" + std::to_string(++names_);
  if (!calls_.rename(at(from), at(to))) return false;
  folders_.erase(from);
  folders_.insert(to);
  Files moved;
  for (auto& [name, bytes] : files_) {
    bool inside = name.starts_with(from + "/");
    moved[inside ? to + name.substr(from.size()) : name] = std::move(bytes);
  }
  files_ = std::move(moved);
  return calls_.open_fails(at(from), ENOENT) && calls_.names_are(at(to), names_in(to));
}

bool ModelFolder::remove() {
  auto file = any_file();
  auto name = file->first;
  files_.erase(file);
  return calls_.unlink(at(name)) && calls_.missing(at(name));
}

// A file without a name lives while it is open.
bool ModelFolder::remove_open() {
  auto [name, bytes] = *any_file();
  files_.erase(name);
  auto file = calls_.open(at(name), O_RDWR);
  if (!file || !calls_.unlink(at(name))) return false;
  auto more = noise(10'000);
  if (!calls_.write(file.get(), more, bytes.size())) return false;
  bytes += more;
  return calls_.open_fails(at(name), ENOENT) && calls_.bytes_are(file.get(), at(name), bytes, 0, bytes.size());
}

bool ModelFolder::make_folder() {
  if (folders_.size() >= kMostFolders) return remove_folder();
  auto name = "d" + std::to_string(++names_);
  if (!calls_.mkdir(at(name))) return false;
  folders_.insert(name);
  return calls_.mkdir(at(name), EEXIST) && calls_.names_are(at(name), {});
}

bool ModelFolder::remove_folder() {
  if (folders_.empty()) return make_folder();
  auto name = *std::next(folders_.begin(), any(folders_.size()));
  if (!names_in(name).empty()) return calls_.rmdir(at(name), ENOTEMPTY);
  folders_.erase(name);
  return calls_.rmdir(at(name)) && calls_.missing(at(name));
}

bool ModelFolder::list() { return calls_.names_are(folder_, names_in("")); }

bool ModelFolder::missing() {
  auto name = "m" + std::to_string(++names_);
  return calls_.missing(at(name)) && calls_.open_fails(at(name), ENOENT);
}

bool ModelFolder::links() {
  auto path = at("l" + std::to_string(++names_));
  auto target = "../" + std::to_string(any(1'000'000));
  return calls_.symlink(target, path) && calls_.link_is(path, target) && calls_.unlink(path);
}

bool ModelFolder::change_mode() {
  constexpr std::array<unsigned, 3> kModes{0644, 0755, 0600};
  return calls_.chmod(at(any_file()->first), kModes[any(kModes.size())]);
}

bool ModelFolder::sync() {
  auto name = any_file()->first;
  auto file = calls_.open(at(name), O_RDWR);
  return file && calls_.sync(file.get());
}

}  // namespace hitfs::testing
