#include "tests/model/filesystem_subject.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "fs/edge/errno_for.h"
#include "tests/model/model_tree.h"

namespace hitfs::testing {

namespace {

template <typename T>
Seen ended(fs::Answer<T>& answer) {
  return answer ? Seen{} : Seen::failed(fs::errno_for(answer.error()));
}

Seen seen_of(const fs::Attributes& attributes) {
  Seen seen;
  seen.type = attributes.type;
  seen.mode = attributes.mode;
  seen.mtime_ns = attributes.mtime_ns;
  return seen;
}

}  // namespace

FilesystemSubject::FilesystemSubject(const Trees& remote) {
  for (const auto& [name, tree] : remote) mount_.daemon.remote_has(fs::MountHarness::key(name), tree);
}

std::optional<fs::Attributes> FilesystemSubject::look_up(Number parent, const std::string& name) {
  auto found = mount_.lookup(parent, name);
  if (!found) return std::nullopt;
  handed_out_.push_back(found->attributes.number);
  return found->attributes;
}

FilesystemSubject::Looked FilesystemSubject::look_up(const std::string& path) {
  Looked place;
  place.parent = fs::kRootNumber;
  size_t begin = 0;
  while (true) {
    size_t slash = path.find('/', begin);
    place.name = path.substr(begin, slash - begin);
    place.node = look_up(place.parent, place.name);
    if (slash == std::string::npos) return place;
    // All links of the model lead nowhere.
    if (!place.node || place.node->type == FileType::symlink) place.error = ENOENT;
    if (place.node && place.node->type == FileType::file) place.error = ENOTDIR;
    if (place.error != 0) return place;
    place.parent = place.node->number;
    begin = slash + 1;
  }
}

void FilesystemSubject::let_go() {
  for (Number number : handed_out_) mount_.fs().forget(number, 1);
  handed_out_.clear();
}

Seen FilesystemSubject::apply(const Operation& operation) {
  unique_ += 2;
  auto seen = operation.act == Act::rename                                     ? rename(operation)
              : operation.act == Act::list                                     ? list(operation)
              : operation.act == Act::sync_root || operation.act >= Act::close ? change_open(operation)
                                                                               : change(operation);
  let_go();
  return seen;
}

Seen FilesystemSubject::change(const Operation& operation) {
  auto place = look_up(operation.path);
  if (place.error != 0) return Seen::failed(place.error);
  switch (operation.act) {
    case Act::create:
    case Act::make_directory:
    case Act::make_symlink: return make(operation, place);
    case Act::unlink:
    case Act::remove_directory: return remove(operation, place);
    default: break;
  }
  if (!place.node) return Seen::failed(ENOENT);
  if (operation.act == Act::look) return look(place.node->number);
  if (place.node->type == FileType::symlink) return Seen::failed(ENOENT);
  return change_file(operation, place.node->number);
}

Seen FilesystemSubject::make(const Operation& operation, const Looked& place) {
  auto ask = [&] {
    switch (operation.act) {
      case Act::create: return mount_.create(place.parent, place.name, operation.mode, unique_);
      case Act::make_directory: return mount_.make_directory(place.parent, place.name, unique_);
      default: return mount_.make_symlink(place.parent, place.name, kLinkTarget);
    }
  };
  auto made = ask();
  if (!made) return ended(made);
  auto number = made->attributes.number;
  handed_out_.push_back(number);
  if (operation.again && operation.act != Act::make_symlink) {
    mount_.restart();
    auto again = ask();
    if (!again) return ended(again);
    handed_out_.push_back(again->attributes.number);
    if (again->attributes.number != number) return Seen::failed(ESTALE);
  }
  return seen_of(made->attributes);
}

Seen FilesystemSubject::remove(const Operation& operation, const Looked& place) {
  auto ask = [&] {
    return operation.act == Act::unlink ? mount_.unlink(place.parent, place.name, unique_)
                                        : mount_.remove_directory(place.parent, place.name, unique_);
  };
  auto removed = ask();
  if (removed && operation.again) {
    mount_.restart();
    removed = ask();
  }
  return ended(removed);
}

// What the kernel answers without asking; 0 when it asks.
int FilesystemSubject::rename_error(const Operation& operation, const Looked& from, const Looked& to) {
  if (!from.node) return ENOENT;
  if (to.node && operation.how == RenameHow::no_replace) return EEXIST;
  if (!to.node && operation.how == RenameHow::exchange) return ENOENT;
  if (operation.path == operation.to) return 0;
  if ((operation.to + "/").starts_with(operation.path + "/")) return EINVAL;
  if ((operation.path + "/").starts_with(operation.to + "/")) {
    return operation.how == RenameHow::exchange ? EINVAL : ENOTEMPTY;
  }
  if (!to.node || operation.how == RenameHow::exchange) return 0;
  bool directory = from.node->type == FileType::directory;
  if (directory && to.node->type != FileType::directory) return ENOTDIR;
  if (!directory && to.node->type == FileType::directory) return EISDIR;
  return 0;
}

Seen FilesystemSubject::rename(const Operation& operation) {
  auto from = look_up(operation.path);
  auto to = look_up(operation.to);
  if (from.error != 0 || to.error != 0) return Seen::failed(from.error != 0 ? from.error : to.error);
  int refused = rename_error(operation, from, to);
  auto mode = operation.how == RenameHow::exchange     ? fs::Filesystem::RenameMode::exchange
              : operation.how == RenameHow::no_replace ? fs::Filesystem::RenameMode::no_replace
                                                       : fs::Filesystem::RenameMode::replace;
  bool same = from.node && to.node && from.node->number == to.node->number;
  // The kernel alone knows that it has both ends of these.
  bool above = (operation.path + "/").starts_with(operation.to + "/");
  if ((refused != 0 && above) || (same && operation.how == RenameHow::exchange)) return Seen::failed(refused);
  auto ask = [&] { return mount_.rename(from.parent, from.name, to.parent, to.name, unique_, mode); };
  auto renamed = ask();
  if (refused != 0) return renamed ? Seen{} : Seen::failed(refused);
  if (renamed && operation.again) {
    mount_.restart();
    renamed = ask();
  }
  return ended(renamed);
}

Seen FilesystemSubject::change_file(const Operation& operation, Number number) {
  fs::AttributeChange change;
  switch (operation.act) {
    case Act::set_mode: change.mode = operation.mode; break;
    case Act::set_time: change.mtime_ns = operation.time_ns; break;
    case Act::truncate:
    case Act::truncate_open: change.size = operation.size; break;
    case Act::open: {
      auto attributes = mount_.attributes(number);
      if (attributes && attributes->attributes.type == FileType::directory) return Seen::failed(EISDIR);
      if (slots_[operation.slot] != 0) mount_.fs().forget(slots_[operation.slot], 1);
      slots_[operation.slot] = number;
      // The name's reference is the slot's now.
      handed_out_.erase(std::find(handed_out_.begin(), handed_out_.end(), number));
      return ended(attributes);
    }
    case Act::sync_file: {
      auto attributes = mount_.attributes(number);
      if (attributes && attributes->attributes.type == FileType::directory) return Seen::failed(EISDIR);
      auto synced = mount_.sync_file(number);
      return ended(synced);
    }
    default: {
      auto attributes = mount_.attributes(number);
      if (!attributes) return ended(attributes);
      bool append = operation.act == Act::append;
      auto written = mount_.write(number, operation.bytes(), append ? attributes->attributes.size : operation.offset);
      return ended(written);
    }
  }
  auto set = mount_.set(number, change);
  return ended(set);
}

Seen FilesystemSubject::look(Number number) {
  auto attributes = mount_.attributes(number);
  if (!attributes) return ended(attributes);
  auto seen = seen_of(attributes->attributes);
  if (seen.type == FileType::directory) return seen;
  auto bytes = seen.type == FileType::file ? mount_.read(number) : mount_.read_link(number);
  if (!bytes) return ended(bytes);
  if (bytes->size() != attributes->attributes.size) return Seen::failed(EOVERFLOW);
  seen.bytes = *bytes;
  return seen;
}

Seen FilesystemSubject::list(const Operation& operation) {
  Number number = fs::kRootNumber;
  if (!operation.path.empty()) {
    auto place = look_up(operation.path);
    if (place.error != 0) return Seen::failed(place.error);
    if (!place.node || place.node->type == FileType::symlink) return Seen::failed(ENOENT);
    if (place.node->type != FileType::directory) return Seen::failed(ENOTDIR);
    number = place.node->number;
  }
  Seen seen;
  seen.type = FileType::directory;
  seen.names = mount_.list(number, 1 + operation.offset % 5, operation.offset % 2 == 0);
  std::sort(seen.names.begin(), seen.names.end());
  return seen;
}

Seen FilesystemSubject::change_open(const Operation& operation) {
  bool of_slot = operation.act >= Act::close && operation.act <= Act::look_open;
  if (!of_slot) {
    disturb(operation);
    return stuck_ ? Seen::failed(ETIMEDOUT) : Seen{};
  }
  auto& number = slots_[operation.slot];
  if (number == 0) return Seen::failed(EBADF);
  if (operation.act == Act::look_open) return look(number);
  if (operation.act != Act::close) return change_file(operation, number);
  mount_.fs().forget(number, 1);
  number = 0;
  return {};
}

void FilesystemSubject::disturb(const Operation& operation) {
  switch (operation.act) {
    case Act::sync_root:
    case Act::settle:
      if (!away_) wait_until_committed();
      break;
    case Act::restart: return mount_.restart();
    case Act::remount:
      if (!away_) wait_until_committed();
      mount_.remount();
      slots_ = {};
      break;
    case Act::daemon_away:
      if (!away_) wait_until_committed();
      away_ = true;
      mount_.daemon.set_up(false);
      break;
    case Act::daemon_back:
      away_ = false;
      mount_.daemon.set_up(true);
      // "Nobody can be asked" is believed for a second.
      mount_.clock.advance(std::chrono::seconds(2));
      mount_.fs().resume_commits();
      wait_until_committed();
      break;
    case Act::evict: return evict(operation.path);
    case Act::arrive: return arrive(operation);
    case Act::release:
      for (uint64_t id : mount_.fs().take_released()) mount_.store.release(id);
      break;
    default: mount_.clock.advance(std::chrono::seconds(operation.size)); break;
  }
}

// As long as a machine under load may take, with the pauses between two tries made short.
void FilesystemSubject::wait_until_committed() {
  auto until = std::chrono::steady_clock::now() + patience_;
  while (mount_.fs().uncommitted() != 0 && std::chrono::steady_clock::now() < until) {
    auto round = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    while (mount_.fs().uncommitted() != 0 && std::chrono::steady_clock::now() < round) std::this_thread::yield();
    mount_.clock.advance(std::chrono::seconds(1));
  }
  stuck_ = stuck_ || mount_.fs().uncommitted() != 0;
}

void FilesystemSubject::evict(const std::string& name) {
  if (away_) return;
  wait_until_committed();
  auto entry = mount_.store.find(fs::MountHarness::key(name));
  if (!entry) return;
  mount_.store.retire(entry->id);
  mount_.event(DaemonEvent::Kind::retired, entry->key, entry->id);
}

void FilesystemSubject::arrive(const Operation& operation) {
  if (away_) return;
  wait_until_committed();
  std::optional<Entry> retired;
  auto entry = mount_.store.commit(fs::MountHarness::key(operation.path), arriving(operation), &retired);
  mount_.event(DaemonEvent::Kind::committed, entry.key, entry.id);
  if (retired) mount_.event(DaemonEvent::Kind::retired, retired->key, retired->id);
}

}  // namespace hitfs::testing
