#include "store/commit/intake.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "store/base/io.h"
#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};
constexpr size_t kReadPiece = 1 << 20;

Result<UniqueFd> open_plain_file(const std::filesystem::path& file, struct stat& info) {
  // Never follows a link, never waits for the other end of a pipe.
  UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return system_error("open " + file.string(), errno);
  if (::fstat(fd.get(), &info) < 0) return system_error("stat " + file.string(), errno);
  if (!S_ISREG(info.st_mode)) return Error{Code::invalid_argument, file.string() + " is no regular file"};
  return fd;
}

// Hands the bytes of a file on in pieces.
template <typename Take>
Status read_pieces(int fd, Take take) {
  std::string piece(kReadPiece, '\0');
  uint64_t offset = 0;
  while (true) {
    auto got = io::read_at(fd, std::as_writable_bytes(std::span(piece)), offset);
    if (!got) return std::move(got).error();
    if (*got == 0) return Ok{};
    offset += *got;
    if (auto taken = take(io::as_bytes(piece).first(*got)); !taken) return taken;
  }
}

Result<Digest> hash_file(int fd) {
  Hasher hasher;
  auto read = read_pieces(fd, [&](std::span<const std::byte> piece) -> Status {
    hasher.update(piece);
    return Ok{};
  });
  if (!read) return std::move(read).error();
  return hasher.finish();
}

bool same_moment(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

}  // namespace

Intake::Intake(StoreParts& parts, Evictor& evictor)
    : parts_(parts),
      evictor_(evictor),
      prefix_(std::to_string(parts.index->generation()) + "-" + std::to_string(++parts.next_intake)) {}

Intake::~Intake() {
  blob_.reset();
  remove_names();
  for (const auto& digest : held_) parts_.holds.drop(digest);
  for (const auto& digest : refused_) parts_.holds.drop(digest);
  // A release that met one of our holds left its blob to us.
  if (!parts_.holds.take_skipped()) return;
  if (auto swept = sweep_blobs(parts_); !swept) kLog.warn("sweep error=\"{}\"", swept.error().message);
}

std::filesystem::path Intake::name_for(std::string_view kind, std::string_view what) const {
  return parts_.paths.intakes() / (prefix_ + "-" + std::string(kind) + "-" + std::string(what));
}

uint64_t Intake::left_to_write() const {
  uint64_t limit = parts_.limits.max_bytes == 0 ? UINT64_MAX : parts_.limits.max_bytes;
  return limit - std::min(limit, written_);
}

Status Intake::check_open() const {
  if (over_) return Error{Code::invalid_argument, "this intake has committed already"};
  if (blob_) return Error{Code::invalid_argument, "a blob is still open"};
  return Ok{};
}

Result<bool> Intake::known(const Digest& digest) {
  if (digest == empty_digest()) return true;
  if (refused_.contains(digest)) return false;
  if (held_.insert(digest).second && !parts_.holds.hold(digest)) {
    held_.erase(digest);
    refused_.insert(digest);
    return false;
  }
  auto row = parts_.reader->blob(digest);
  if (!row) return std::move(row).error();
  if (!*row) return false;
  auto epochs = parts_.published.lock()->epochs;
  if (!epochs.trusted((*row)->epoch, parts_.boot_id)) return false;
  if (!epochs.is_flushed((*row)->epoch)) needs_sync_all_ = true;
  return true;
}

Result<bool> Intake::has_blob(const Digest& digest) {
  if (brought_.contains(digest)) return true;
  return known(digest);
}

Result<ByteSink*> Intake::begin_blob(std::optional<uint64_t> size) {
  if (auto open = check_open(); !open) return std::move(open).error();
  if (size && *size > left_to_write()) {
    return Error{Code::no_space, "a file of " + std::to_string(*size) + " bytes is larger than the store's limit of " +
                                     std::to_string(parts_.limits.max_bytes) + "; raise the limit"};
  }
  blob_ = std::make_unique<StagedBlob>(name_for("part", std::to_string(++next_part_)), left_to_write());
  return blob_.get();
}

Result<Digest> Intake::end_blob() {
  if (!blob_) return Error{Code::invalid_argument, "no blob was begun"};
  auto blob = std::move(blob_);
  auto digest = blob->finish();
  if (!digest) return digest;
  if (blob->is_small()) return keep_small(*digest, blob->bytes());
  if (brought_.contains(*digest)) return digest;
  auto here = known(*digest);
  if (!here) return std::move(here).error();
  if (*here) return digest;
  auto name = name_for("blob", digest->hex());
  if (auto renamed = io::rename(blob->part(), name, "blob"); !renamed) return std::move(renamed).error();
  keep_file(*digest, std::move(name), blob->release_file(), false);
  return digest;
}

Result<Digest> Intake::keep_small(const Digest& digest, std::span<const std::byte> bytes) {
  auto here = has_blob(digest);
  if (!here) return std::move(here).error();
  if (*here) return digest;
  if (!pack_) {
    auto number = parts_.numbers->take(1);
    if (!number) return std::move(number).error();
    pack_id_ = *number;
    auto name = name_for("pack", std::to_string(pack_id_));
    names_.push_back(name);
    pack_.emplace(std::move(name));
  }
  auto offset = pack_->append(digest, bytes);
  if (!offset) return std::move(offset).error();
  written_ += bytes.size();
  brought_[digest] = {.place = {pack_id_, *offset}, .name = {}, .adopted = false};
  return digest;
}

void Intake::keep_file(const Digest& digest, std::filesystem::path name, UniqueFd file, bool adopted) {
  written_ += digest.size;
  names_.push_back(name);
  brought_[digest] = {.place = {}, .name = std::move(name), .adopted = adopted};
  if (files_.size() < CommitLane::kSyncEach) {
    files_.push_back(std::move(file));
  } else {
    ++more_files_;
  }
}

Result<Digest> Intake::adopt(const std::filesystem::path& file) {
  if (auto open = check_open(); !open) return std::move(open).error();
  struct stat info {};
  auto fd = open_plain_file(file, info);
  if (!fd) return std::move(fd).error();
  auto size = static_cast<uint64_t>(info.st_size);
  struct stat folder {};
  bool ours = info.st_uid == ::geteuid() && info.st_nlink == 1 &&
              ::stat(parts_.paths.intakes().c_str(), &folder) == 0 && folder.st_dev == info.st_dev;
  if (size >= kPackedBelow && ours) {
    auto linked = adopt_link(file, std::move(*fd));
    if (linked || linked.error().code != Code::unavailable) return linked;
    fd = open_plain_file(file, info);
    if (!fd) return std::move(fd).error();
  }
  auto sink = begin_blob(size);
  if (!sink) return std::move(sink).error();
  auto copied = read_pieces(fd->get(), [&](std::span<const std::byte> piece) { return (*sink)->write(piece); });
  if (!copied) {
    blob_.reset();
    return in_context("take in " + file.string(), std::move(copied).error());
  }
  return end_blob();
}

// A second name for a large file. `unavailable` when it must be copied instead.
Result<Digest> Intake::adopt_link(const std::filesystem::path& file, UniqueFd fd) {
  struct stat before {};
  struct stat after {};
  if (::fstat(fd.get(), &before) < 0) return system_error("stat " + file.string(), errno);
  if (static_cast<uint64_t>(before.st_size) > left_to_write()) {
    return Error{Code::no_space, file.string() + " is larger than the store's limit; raise the limit"};
  }
  auto digest = hash_file(fd.get());
  if (!digest) return in_context("take in " + file.string(), std::move(digest).error());
  if (::fstat(fd.get(), &after) < 0) return system_error("stat " + file.string(), errno);
  if (digest->size != static_cast<uint64_t>(before.st_size) || !same_moment(before.st_mtim, after.st_mtim)) {
    return Error{Code::invalid_argument, file.string() + " changed while it was taken in"};
  }
  auto here = has_blob(*digest);
  if (!here) return std::move(here).error();
  if (*here) return digest;
  auto name = name_for("blob", digest->hex());
  if (auto linked = io::link(file, name, "blob"); !linked) {
    if (linked.error().code == Code::no_space) return std::move(linked).error();
    return Error{Code::unavailable, linked.error().message};
  }
  names_.push_back(name);
  struct stat made {};
  if (::stat(name.c_str(), &made) < 0 || made.st_ino != before.st_ino) {
    return Error{Code::invalid_argument, file.string() + " was replaced while it was taken in"};
  }
  keep_file(*digest, std::move(name), std::move(fd), true);
  return digest;
}

void Intake::remove_names() {
  for (const auto& name : names_) {
    auto gone = io::unlink(name, "intake");
    // What stays is removed at the next open.
    if (!gone && gone.error().code != Code::not_found) kLog.warn("unlink error=\"{}\"", gone.error().message);
  }
  names_.clear();
}

}  // namespace hitfs
