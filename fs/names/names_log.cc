#include "fs/names/names_log.h"

#include <isa-l/crc.h>

#include <cstring>
#include <vector>

#include "store/base/io.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr std::string_view kHeader = "hitfs names 001\n";  // 16 bytes; the number is the version
constexpr std::string_view kWhat = "names.log";
constexpr size_t kFrame = 8;                // length, checksum
constexpr size_t kLongestPayload = 160000;  // two texts of 65,535 bytes and the fields fit

// CRC-32C, as in iSCSI.
uint32_t checksum_of(std::string_view payload) {
  // The library takes a pointer to non-const bytes and does not change them.
  auto* bytes = reinterpret_cast<unsigned char*>(const_cast<char*>(payload.data()));
  return crc32_iscsi(bytes, static_cast<int>(payload.size()), 0xffffffffu);
}

std::string frame(const NameRecord& record) {
  std::string payload = encode(record);
  auto length = static_cast<uint32_t>(payload.size());
  uint32_t checksum = checksum_of(payload);
  std::string framed(kFrame, '\0');
  std::memcpy(framed.data(), &length, sizeof(length));
  std::memcpy(framed.data() + sizeof(length), &checksum, sizeof(checksum));
  return framed + payload;
}

// The first whole record of `bytes`: its payload, or nothing when it is torn.
std::string_view whole_record(std::string_view bytes) {
  uint32_t length = 0;
  uint32_t checksum = 0;
  if (bytes.size() < kFrame) return {};
  std::memcpy(&length, bytes.data(), sizeof(length));
  std::memcpy(&checksum, bytes.data() + sizeof(length), sizeof(checksum));
  if (length == 0 || length > kLongestPayload || bytes.size() - kFrame < length) return {};
  auto payload = bytes.substr(kFrame, length);
  return checksum_of(payload) == checksum ? payload : std::string_view{};
}

// Reads a file front to back and shows a window of it that is long enough for one record.
class Window {
 public:
  explicit Window(int fd) : fd_(fd) {}

  Result<std::string_view> at(uint64_t offset) {
    if (offset < start_ || offset + kFrame + kLongestPayload > start_ + bytes_.size()) {
      if (auto filled = fill(offset); !filled) return std::move(filled).error();
    }
    return std::string_view(bytes_).substr(offset - start_);
  }

 private:
  Status fill(uint64_t offset) {
    if (ended_ && offset >= start_) return Ok{};  // no more bytes than the window has
    bytes_.resize(kSize);
    auto got = io::read_at(fd_, std::as_writable_bytes(std::span(bytes_)), offset);
    if (!got) return std::move(got).error();
    bytes_.resize(*got);
    start_ = offset;
    ended_ = *got < kSize;
    return Ok{};
  }

  static constexpr size_t kSize = 1 << 20;
  int fd_;
  std::string bytes_;
  uint64_t start_ = 0;
  bool ended_ = false;
};

Status start_file(int fd) { return io::write_all_at(fd, io::as_bytes(kHeader), 0, kWhat); }

}  // namespace

Result<NamesLog> NamesLog::open(const std::filesystem::path& path, const Apply& apply) {
  NamesLog log(path);
  auto file = io::open_write(path);
  if (!file && file.error().code == Code::not_found) file = io::create(path, kWhat);
  if (!file) return std::move(file).error();
  log.file_ = *std::move(file);
  if (auto replayed = log.replay(apply); !replayed) return in_context(path.string(), std::move(replayed).error());
  return log;
}

Status NamesLog::replay(const Apply& apply) {
  std::string header(kHeader.size(), '\0');
  auto got = io::read_at(file_.get(), std::as_writable_bytes(std::span(header)), 0);
  if (!got) return std::move(got).error();
  if (header != kHeader) {
    // Shorter than a header: the maker died before it wrote one.
    if (*got < kHeader.size()) {
      size_ = kHeader.size();
      torn_ = false;
      return start_file(file_.get());
    }
    return Error{Code::invalid_argument,
                 "is not of this version of hitfs: use the version that wrote it, or move the "
                 "folder away (names that are no entry lie in it)"};
  }
  size_ = kHeader.size();
  Window window(file_.get());
  while (true) {
    auto bytes = window.at(size_);
    if (!bytes) return std::move(bytes).error();
    auto payload = whole_record(*bytes);
    if (payload.empty()) {
      torn_ = !bytes->empty();
      break;
    }
    auto record = decode(payload);
    if (!record) return in_context("record at byte " + std::to_string(size_), std::move(record).error());
    apply(*record);
    size_ += kFrame + payload.size();
  }
  if (torn_) kLog.warn("names_log torn_tail path={} kept={}", path_.string(), size_);
  return cut();
}

Status NamesLog::cut() {
  if (!torn_) return Ok{};
  auto done = io::truncate(file_.get(), size_, kWhat);
  if (done) torn_ = false;
  return done;
}

Status NamesLog::append(const NameRecord& record) {
  // What an earlier, failed append left behind would end the log at the next replay.
  if (auto clean = cut(); !clean) return clean;
  std::string framed = frame(record);
  torn_ = true;
  if (auto written = io::write_all_at(file_.get(), io::as_bytes(framed), size_, kWhat); !written) {
    if (auto cleaned = cut(); !cleaned) kLog.warn("names_log cut_failed error={}", cleaned.error().message);
    return written;
  }
  torn_ = false;
  synced_ = false;
  size_ += framed.size();
  return Ok{};
}

Status NamesLog::sync() {
  if (!synced_) {
    if (auto done = io::sync_data(file_.get(), kWhat); !done) return done;
    synced_ = true;
  }
  if (!name_synced_) {
    if (auto done = io::sync_directory(path_.parent_path(), kWhat); !done) return done;
    name_synced_ = true;
  }
  return Ok{};
}

Status NamesLog::rewrite(const Emit& emit) {
  auto aside = path_;
  aside += ".new";
  auto file = io::create(aside, kWhat, {.mode = 0600, .exclusive = false});
  if (!file) return std::move(file).error();
  uint64_t size = 0;
  std::string pending(kHeader);
  Status status = Ok{};
  auto flush = [&] {
    if (status) status = io::write_all_at(file->get(), io::as_bytes(pending), size, kWhat);
    size += pending.size();
    pending.clear();
  };
  emit([&](const NameRecord& record) {
    pending += frame(record);
    if (pending.size() > (1 << 20)) flush();
  });
  flush();
  if (!status) return status;
  if (auto synced = io::sync_data(file->get(), kWhat); !synced) return synced;
  if (auto renamed = io::rename(aside, path_, kWhat); !renamed) return renamed;
  file_ = *std::move(file);
  size_ = size;
  torn_ = false;
  synced_ = true;
  name_synced_ = false;
  return Ok{};
}

}  // namespace hitfs::fs
