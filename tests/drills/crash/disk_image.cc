#include "tests/drills/crash/disk_image.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

namespace hitfs::testing {

namespace {

std::string bytes_of_file(const std::filesystem::path& path) {
  auto bytes = io::read_file(path, 1 << 30);
  EXPECT_TRUE(bytes) << path;
  return bytes ? *bytes : std::string();
}

struct stat status_of(const std::filesystem::path& path) {
  struct stat info {};
  ::lstat(path.c_str(), &info);
  return info;
}

bool is_in(const std::string& name, const std::string& folder) {
  return std::filesystem::path(name).parent_path().string() == folder;
}

// What `from` has in `folder` itself, and nothing else there, becomes what `to` has.
template <typename Map>
void copy_folder(const Map& from, Map& to, const std::string& folder) {
  std::erase_if(to, [&](const auto& one) { return is_in(one.first, folder); });
  for (const auto& one : from) {
    if (is_in(one.first, folder)) to.insert(one);
  }
}

// Everything below `root` but these folders: a store has hundreds, most of them empty.
void remove_others(const std::filesystem::path& root, const std::map<std::string, mode_t>& keep) {
  std::vector<std::filesystem::path> others;
  for (std::filesystem::recursive_directory_iterator it(root), end; it != end; ++it) {
    if (it->is_directory() && keep.contains(it->path().string().substr(root.string().size() + 1))) continue;
    it.disable_recursion_pending();
    others.push_back(it->path());
  }
  for (const auto& path : others) std::filesystem::remove_all(path);
}

}  // namespace

const char* to_string(Loss loss) {
  switch (loss) {
    case Loss::nothing: return "kill";
    case Loss::all: return "power cut: all unsynced lost";
    case Loss::bytes: return "power cut: unsynced bytes lost";
    case Loss::bytes_to_zeros: return "power cut: unsynced bytes are zeros";
    case Loss::some_bytes: return "power cut: writes torn and out of order";
    case Loss::names: return "power cut: unsynced names lost";
    case Loss::all_unordered: return "power cut: all unsynced lost, names in no order";
  }
  return "unknown";
}

DiskImage::DiskImage(const std::filesystem::path& folder) : folder_(folder.string()) {
  for (const auto& item : std::filesystem::recursive_directory_iterator(folder)) {
    auto name = below(item.path().string());
    auto info = status_of(item.path());
    if (item.is_directory()) now_.folders[name] = info.st_mode & 07777;
    if (!item.is_regular_file() || name.ends_with("-shm")) continue;
    auto known = by_inode_.find(info.st_ino);
    auto number = known == by_inode_.end() ? add_file(info.st_ino, info.st_mode & 07777) : known->second;
    files_[number].now = bytes_of_file(item.path());
    now_.files[name] = number;
  }
  sync_all();
}

std::string DiskImage::below(const std::string& path) const {
  return path.size() <= folder_.size() ? "" : path.substr(folder_.size() + 1);
}

size_t DiskImage::add_file(uint64_t inode, mode_t mode) {
  by_inode_[inode] = files_.size();
  files_.push_back({.now = {}, .synced = {}, .unsynced = {}, .mode = mode});
  return files_.size() - 1;
}

void DiskImage::apply(const DiskEvent& event) {
  const auto& call = event.call;
  auto name = below(call.path);
  switch (call.kind) {
    case DiskCall::Kind::create: return create(call);
    case DiskCall::Kind::write: return write(call.inode, {call.offset, event.bytes, false});
    case DiskCall::Kind::truncate: return write(call.inode, {call.size, {}, true});
    case DiskCall::Kind::sync_file: {
      auto& file = files_.at(by_inode_.at(call.inode));
      file.synced = file.now;
      return file.unsynced.clear();
    }
    case DiskCall::Kind::sync_folder: return sync_folder(name);
    case DiskCall::Kind::sync_all: return event.mark.empty() ? sync_all() : void();
    case DiskCall::Kind::rename:
      now_.files[below(call.target)] = now_.files.at(name);
      now_.files.erase(name);
      break;
    case DiskCall::Kind::link: now_.files[below(call.target)] = now_.files.at(name); break;
    case DiskCall::Kind::unlink: now_.files.erase(name); break;
    case DiskCall::Kind::make_folder: now_.folders[name] = call.mode; break;
    case DiskCall::Kind::remove_folder: now_.folders.erase(name); break;
  }
  names_changed();
}

void DiskImage::create(const DiskCall& call) {
  auto name = below(call.path);
  if (auto there = now_.files.find(name); there != now_.files.end()) {
    return write(call.inode, {0, {}, true});
  }
  now_.files[name] = add_file(call.inode, call.mode);
  names_changed();
}

void DiskImage::write(uint64_t inode, Write change) {
  auto& file = files_.at(by_inode_.at(inode));
  play(file.now, change);
  file.unsynced.push_back(std::move(change));
}

void DiskImage::sync_folder(const std::string& name) {
  copy_folder(now_.files, certain_.files, name);
  copy_folder(now_.folders, certain_.folders, name);
  since_sync_ = {now_};
}

void DiskImage::sync_all() {
  for (auto& file : files_) {
    if (file.unsynced.empty() && file.synced.size() == file.now.size()) continue;
    file.synced = file.now;
    file.unsynced.clear();
  }
  certain_ = now_;
  since_sync_ = {now_};
}

void DiskImage::play(std::string& bytes, const Write& write) {
  if (write.resizes) return bytes.resize(write.offset);
  if (bytes.size() < write.offset + write.bytes.size()) bytes.resize(write.offset + write.bytes.size());
  bytes.replace(write.offset, write.bytes.size(), write.bytes);
}

std::string DiskImage::left_of(const File& file, Loss loss, std::mt19937& random) {
  switch (loss) {
    case Loss::nothing:
    case Loss::names: return file.now;
    case Loss::all:
    case Loss::bytes:
    case Loss::all_unordered: return file.synced;
    case Loss::bytes_to_zeros:
    case Loss::some_bytes: break;
  }
  auto bytes = file.synced;
  auto torn = file.unsynced.empty() ? 0 : random() % file.unsynced.size();
  for (size_t i = 0; i < file.unsynced.size(); ++i) {
    auto write = file.unsynced[i];
    if (loss == Loss::bytes_to_zeros) {
      write.bytes.assign(write.bytes.size(), '\0');
    } else if (i == torn) {
      write.bytes.resize(write.bytes.size() / 2);
    } else if (random() % 2 == 0) {
      continue;
    }
    play(bytes, write);
  }
  return bytes;
}

const DiskImage::Names& DiskImage::names_after(Loss loss, std::mt19937& random) const {
  switch (loss) {
    case Loss::nothing:
    case Loss::bytes:
    case Loss::bytes_to_zeros: return now_;
    case Loss::all: return since_sync_.front();
    case Loss::some_bytes: return since_sync_[random() % since_sync_.size()];
    case Loss::names:
    case Loss::all_unordered: break;
  }
  return certain_;
}

void DiskImage::write_to(const std::filesystem::path& to, Loss loss, unsigned seed) const {
  std::mt19937 random(seed);
  const auto& names = names_after(loss, random);
  std::filesystem::create_directories(to);
  remove_others(to, names.folders);
  for (const auto& [name, mode] : names.folders) {
    // A folder whose own folder was lost is lost with it.
    if (::mkdir((to / name).c_str(), 0700) == 0) ::chmod((to / name).c_str(), mode);
  }
  std::map<size_t, std::filesystem::path> written;
  for (const auto& [name, number] : names.files) {
    auto path = to / name;
    if (!std::filesystem::exists(path.parent_path())) continue;
    auto [first, is_new] = written.try_emplace(number, path);
    if (!is_new) {
      std::filesystem::create_hard_link(first->second, path);
      continue;
    }
    std::ofstream(path, std::ios::binary) << left_of(files_[number], loss, random);
    ::chmod(path.c_str(), files_[number].mode);
  }
}

}  // namespace hitfs::testing
