#include "sync/remotes/file_remote.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "store/base/io.h"
#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr size_t kPiece = 1 << 20;
constexpr size_t kMostDamaged = 1'024;
constexpr int64_t kDayMs = 86'400'000;
constexpr mode_t kFileMode = 0644;
constexpr mode_t kFolderMode = 0777;  // the umask decides who shares the drive

// The trailer: 16 bytes of magic, the size in 8 bytes (little endian), 8 zero bytes, the SHA-256.
constexpr size_t kTrailerBytes = 64;
constexpr std::string_view kMagic{"hitfs-entry-1\n\0\0", 16};
using Trailer = std::array<std::byte, kTrailerBytes>;

Trailer encode_trailer(const Digest& digest) {
  Trailer trailer{};
  std::memcpy(trailer.data(), kMagic.data(), kMagic.size());
  for (size_t i = 0; i < 8; ++i) trailer[16 + i] = static_cast<std::byte>(digest.size >> (8 * i));
  std::memcpy(trailer.data() + 32, digest.hash.data(), digest.hash.size());
  return trailer;
}

Result<Digest> decode_trailer(const Trailer& trailer) {
  Digest digest;
  for (size_t i = 0; i < 8; ++i) digest.size |= static_cast<uint64_t>(trailer[16 + i]) << (8 * i);
  std::memcpy(digest.hash.data(), trailer.data() + 32, digest.hash.size());
  if (encode_trailer(digest) != trailer) return Error{Code::corrupt, "its trailer is damaged"};
  return digest;
}

// A name that every file system keeps apart from every other: no capitals, no leading dot.
bool is_portable(std::string_view name) {
  auto is_plain = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); };
  auto is_fine = [&](char c) { return is_plain(c) || c == '-' || c == '_' || c == '.'; };
  return name.size() >= 2 && name.size() <= 128 && is_plain(name.front()) && is_plain(name[1]) &&
         is_plain(name.back()) && std::all_of(name.begin(), name.end(), is_fine);
}

std::string random_name() {
  std::random_device device;
  std::array<uint32_t, 4> words{device(), device(), device(), device()};
  return to_hex(std::as_bytes(std::span(words)));
}

// A system call that fails for no reason of ours means a drive that does not work: a later try may succeed.
Error drive_error(Error error, RemoteCall& call) {
  if (error.code != Code::internal && error.code != Code::unavailable) return error;
  if (call.trouble == Trouble::none) call.trouble = Trouble::connect;
  return {Code::unavailable, std::move(error.message)};
}

// Removes a file that was written aside, whatever became of it.
class Aside {
 public:
  explicit Aside(std::filesystem::path path) : path_(std::move(path)) {}
  ~Aside() {
    auto removed = io::unlink(path_, "remote file");
    if (!removed && removed.error().code != Code::not_found)
      kLog.debug("file remote error=\"{}\"", removed.error().message);
  }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

FileRemote::FileRemote(std::filesystem::path root, const Patience& patience)
    : root_(std::move(root)), home_(root_ / "hitfs-1"), patience_(patience) {}

std::string FileRemote::describe() const { return "file://" + root_.string(); }

Result<std::filesystem::path> FileRemote::path_of(const RemoteKey& key) const {
  if (!is_portable(key.name)) {
    return Error{Code::invalid_argument, "'" + percent_encode(key.name) + "' is no name for a file on a shared drive"};
  }
  return home_ / key.name.substr(0, 2) / key.name;
}

Status FileRemote::drive_is_there() const {
  struct stat info {};
  if (::stat(root_.c_str(), &info) < 0) {
    return Error{Code::unavailable, root_.string() + " cannot be reached: is the drive mounted? (" +
                                        system_error("stat", errno).message + ")"};
  }
  if (!S_ISDIR(info.st_mode)) return Error{Code::invalid_argument, root_.string() + " is no folder"};
  return Ok{};
}

Result<FileRemote::StoredFile> FileRemote::open_entry(const std::filesystem::path& path) const {
  // Not followed and not waited for: others write here, and a link or a pipe is no entry.
  StoredFile file{UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)), {}};
  auto damaged = [&](const std::string& why) { return Error{Code::corrupt, path.string() + ": " + why}; };
  if (!file.fd) return errno == ELOOP ? damaged("it is a link") : system_error("open " + path.string(), errno);
  struct stat info {};
  if (::fstat(file.fd.get(), &info) < 0) return system_error("stat " + path.string(), errno);
  if (!S_ISREG(info.st_mode)) return damaged("it is no file");
  auto size = static_cast<uint64_t>(info.st_size);
  if (size < kTrailerBytes) return damaged("it is cut short");
  Trailer trailer{};
  auto got = io::read_at(file.fd.get(), trailer, size - kTrailerBytes);
  if (!got) return in_context(path.string(), std::move(got).error());
  auto digest = *got == kTrailerBytes ? decode_trailer(trailer) : Result<Digest>(damaged("it is cut short"));
  if (!digest) return damaged(digest.error().message);
  if (digest->size != size - kTrailerBytes) return damaged("its size does not match its trailer");
  file.digest = *digest;
  return file;
}

Status FileRemote::copy_out(const StoredFile& file, ByteSink& sink, TransferWatch& watch) const {
  std::vector<std::byte> piece(std::min<uint64_t>(kPiece, file.digest.size));
  Hasher hasher;
  uint64_t offset = 0;
  while (offset < file.digest.size) {
    if (auto late = watch.give_up()) return *std::move(late);
    auto want = std::min<uint64_t>(piece.size(), file.digest.size - offset);
    auto got = io::read_at(file.fd.get(), std::span(piece).first(want), offset);
    if (!got) return std::move(got).error();
    if (*got == 0) return Error{Code::corrupt, "it became shorter while it was read"};
    watch.moved(*got);
    TransferWatch::Busy busy(watch);
    auto bytes = std::span<const std::byte>(piece).first(*got);
    hasher.update(bytes);
    if (auto written = sink.write(bytes); !written) return written;
    offset += *got;
  }
  if (hasher.finish() != file.digest) return Error{Code::corrupt, "its bytes do not match its trailer"};
  return Ok{};
}

Status FileRemote::fetch(const RemoteKey& key, EntryWriter& out, RemoteCall& call) {
  auto path = path_of(key);
  if (!path) return std::move(path).error();
  TransferWatch watch(call, patience_, patience_.first_byte);
  if (auto late = watch.give_up()) return in_context(describe(), *std::move(late));
  auto file = open_entry(*path);
  if (!file && file.error().code == Code::not_found) {
    if (auto there = drive_is_there(); !there) return drive_error(std::move(there).error(), call);
    return Error{Code::not_found, "not on " + describe()};
  }
  if (!file) return drive_error(std::move(file).error(), call);
  watch.receiving();
  auto sink = out.artifact(file->digest.size);
  if (!sink) return std::move(sink).error();
  auto copied = copy_out(*file, **sink, watch);
  if (copied) return copied;
  if (copied.error().code == Code::corrupt) {
    auto damaged = damaged_.lock();
    if (damaged->size() < kMostDamaged) damaged->insert(key.name);
  }
  return in_context(path->string(), std::move(copied).error());
}

Status FileRemote::write_aside(int fd, ByteSource& source, TransferWatch& watch) const {
  std::vector<std::byte> piece(kPiece);
  Hasher hasher;
  uint64_t total = 0;
  while (true) {
    if (auto late = watch.give_up()) return *std::move(late);
    size_t got = 0;
    {
      TransferWatch::Busy busy(watch);
      auto read = source.read(piece);
      if (!read) return std::move(read).error();
      got = *read;
      hasher.update(std::span(piece).first(got));
    }
    if (got == 0) break;
    if (auto written = io::write_all(fd, std::span(piece).first(got), "remote file"); !written) return written;
    watch.moved(got);
    total += got;
  }
  if (source.size().value_or(total) != total) return Error{Code::corrupt, "the entry ended before its length"};
  if (auto written = io::write_all(fd, encode_trailer(hasher.finish()), "remote file"); !written) return written;
  return io::sync_data(fd, "remote file");
}

Result<StoreResult> FileRemote::publish(const std::filesystem::path& aside, const std::filesystem::path& path,
                                        bool replace) const {
  auto linked = replace ? Status(Ok{}) : io::link(aside, path, "remote file");
  // Not every drive has hard links; there a rename does, whose last writer wins: each of them is whole.
  if (replace || (!linked && ::access(path.c_str(), F_OK) != 0)) linked = io::rename(aside, path, "remote file");
  if (!linked && ::access(path.c_str(), F_OK) == 0) return StoreResult::already_there;
  if (!linked) return std::move(linked).error();
  if (auto synced = io::sync_directory(path.parent_path(), "remote folder"); !synced) {
    kLog.debug("file remote error=\"{}\"", synced.error().message);  // CIFS knows no such thing
  }
  return StoreResult::stored;
}

Result<StoreResult> FileRemote::store(const RemoteKey& key, EntryReader& entry, RemoteCall& call) {
  auto path = path_of(key);
  if (!path) return std::move(path).error();
  TransferWatch watch(call, patience_, patience_.first_byte);
  if (auto late = watch.give_up()) return in_context(describe(), *std::move(late));
  if (auto there = drive_is_there(); !there) return drive_error(std::move(there).error(), call);
  auto present = open_entry(*path);
  bool damaged = damaged_.lock()->count(key.name) > 0 || (!present && present.error().code == Code::corrupt);
  if (present && !damaged) return StoreResult::already_there;
  Aside aside(home_ / "incoming" / random_name());
  for (const auto& folder : {path->parent_path(), aside.path().parent_path()}) {
    auto made = io::make_directories(folder, kFolderMode, "remote folder");
    if (!made) return drive_error(std::move(made).error(), call);
  }
  auto fd = io::create(aside.path(), "remote file", {.mode = kFileMode});
  if (!fd) return drive_error(std::move(fd).error(), call);
  watch.sending();
  clean_incoming(aside.path());
  auto source = entry.artifact();
  if (!source) return std::move(source).error();
  if (auto written = write_aside(fd->get(), **source, watch); !written) {
    return drive_error(in_context(path->string(), std::move(written).error()), call);
  }
  auto published = publish(aside.path(), *path, damaged);
  if (!published) return drive_error(std::move(published).error(), call);
  if (damaged) damaged_.lock()->erase(key.name);
  return published;
}

Result<bool> FileRemote::contains(const RemoteKey& key, RemoteCall& call) {
  auto path = path_of(key);
  if (!path) return std::move(path).error();
  TransferWatch watch(call, patience_, patience_.first_byte);
  if (auto late = watch.give_up()) return in_context(describe(), *std::move(late));
  auto file = open_entry(*path);
  if (file) return true;
  if (file.error().code == Code::corrupt) return false;
  if (file.error().code != Code::not_found) return drive_error(std::move(file).error(), call);
  if (auto there = drive_is_there(); !there) return drive_error(std::move(there).error(), call);
  return false;
}

Status FileRemote::remove(const RemoteKey& key, RemoteCall& call) {
  auto path = path_of(key);
  if (!path) return std::move(path).error();
  TransferWatch watch(call, patience_, patience_.first_byte);
  if (auto late = watch.give_up()) return in_context(describe(), *std::move(late));
  if (auto there = drive_is_there(); !there) return drive_error(std::move(there).error(), call);
  auto removed = io::unlink(*path, "remote file");
  if (removed || removed.error().code == Code::not_found) return Ok{};
  return drive_error(std::move(removed).error(), call);
}

void FileRemote::clean_incoming(const std::filesystem::path& fresh) {
  auto now_ms = system_clock().unix_ms();
  auto due = next_cleaning_ms_.load();
  if (now_ms < due || !next_cleaning_ms_.compare_exchange_strong(due, now_ms + kDayMs)) return;
  struct stat newest {};
  if (::lstat(fresh.c_str(), &newest) < 0) return;
  std::error_code failure;
  std::filesystem::directory_iterator file(fresh.parent_path(), failure);
  for (; !failure && file != std::filesystem::directory_iterator(); file.increment(failure)) {
    struct stat info {};
    bool is_old = ::lstat(file->path().c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
                  (newest.st_mtim.tv_sec - info.st_mtim.tv_sec) * 1'000 > kDayMs;
    if (!is_old) continue;
    auto removed = io::unlink(file->path(), "remote file");
    kLog.debug("file remote left_over={} removed={}", file->path().string(), removed.has_value());
  }
}

}  // namespace hitfs
