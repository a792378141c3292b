#include "store/archive/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <cerrno>
#include <vector>

#include "store/archive/tar_grammar.h"
#include "store/archive/utf8_locale.h"

namespace hitfs {

namespace {

constexpr size_t kPieceBytes = 256 << 10;
constexpr int64_t kMostSeconds = 9'000'000'000;  // year 2255: the most that fits into nanoseconds

Error damaged(std::string_view what) { return {Code::corrupt, "tar: " + std::string(what)}; }

}  // namespace

struct TarReader::State {
  State(ByteSource& source, ArchiveReaders readers) : tar(source), grammar(readers), piece(kPieceBytes) {}
  ~State() { ::archive_read_free(handle); }

  // Gets one more piece and shows it to the grammar first.
  Result<size_t> fill() {
    auto got = tar.read(piece);
    if (!got) return got;
    if (auto seen = grammar.see(std::span(piece).first(*got)); !seen) return std::move(seen).error();
    return got;
  }

  // libarchive's read callback: -1 with the reason kept in `failure`.
  static la_ssize_t on_read(archive* handle, void* context, const void** bytes) {
    auto& state = *static_cast<State*>(context);
    auto got = state.fill();
    if (!got) {
      state.failure = std::move(got).error();
      ::archive_set_error(handle, EIO, "source failed");
      return -1;
    }
    *bytes = state.piece.data();
    return static_cast<la_ssize_t>(*got);
  }

  // The reason behind a code of libarchive other than OK.
  Error error() {
    if (failure) return *failure;
    const char* text = ::archive_error_string(handle);
    return damaged(text ? text : "unreadable");
  }

  ByteSource& tar;
  TarGrammar grammar;
  std::vector<std::byte> piece;
  archive* handle = nullptr;
  archive_entry* entry = nullptr;
  std::optional<Error> failure;
  uint64_t size = 0;  // of the current file
  bool at_end = false;
};

TarReader::TarReader(ByteSource& tar, ArchiveReaders readers) : state_(std::make_unique<State>(tar, readers)) {}

TarReader::~TarReader() = default;

Status TarReader::open() {
  state_->handle = ::archive_read_new();
  if (!state_->handle) return Error{Code::internal, "tar: out of memory"};
  ::archive_read_support_filter_none(state_->handle);
  ::archive_read_support_format_tar(state_->handle);
  if (::archive_read_open(state_->handle, state_.get(), nullptr, State::on_read, nullptr) != ARCHIVE_OK) {
    return state_->error();
  }
  return Ok{};
}

Result<std::optional<TarMember>> TarReader::next() {
  Utf8Locale utf8;
  if (state_->at_end) return std::optional<TarMember>();
  if (!state_->handle) {
    if (auto opened = open(); !opened) return std::move(opened).error();
  }
  int code = ::archive_read_next_header(state_->handle, &state_->entry);
  if (code == ARCHIVE_EOF) {
    if (auto drained = drain(); !drained) return std::move(drained).error();
    state_->at_end = true;
    return std::optional<TarMember>();
  }
  if (code != ARCHIVE_OK) return state_->error();
  auto member = check_member();
  if (!member) return std::move(member).error();
  state_->size = member->size;
  return std::optional(*std::move(member));
}

// libarchive stops at the end mark: the rest must be seen too, or a cut body and a wrong checksum would pass.
Status TarReader::drain() {
  while (true) {
    auto got = state_->fill();
    if (!got) return std::move(got).error();
    if (*got == 0) break;
  }
  if (state_->grammar.next()) return damaged("two readers do not agree on where the archive ends");
  return state_->grammar.finish();
}

Result<TarMember> TarReader::check_member() {
  auto shape = state_->grammar.next();
  archive_entry* entry = state_->entry;
  auto text = [](const char* bytes) { return std::string(bytes ? bytes : ""); };
  TarMember member;
  member.path = text(::archive_entry_pathname(entry));
  member.target = text(::archive_entry_symlink(entry));
  member.mode = static_cast<uint16_t>(::archive_entry_perm(entry));
  int64_t seconds = ::archive_entry_mtime(entry);
  if (seconds < -kMostSeconds || seconds > kMostSeconds)
    return damaged("impossible time of " + printable_path(member.path));
  member.mtime_ns = seconds * 1'000'000'000 + ::archive_entry_mtime_nsec(entry);
  switch (::archive_entry_filetype(entry)) {
    case AE_IFDIR: member.type = FileType::directory; break;
    case AE_IFLNK: member.type = FileType::symlink; break;
    case AE_IFREG: member.size = static_cast<uint64_t>(::archive_entry_size(entry)); break;
    default: return damaged("member " + printable_path(member.path) + " is no file, directory or symbolic link");
  }
  if (member.type == FileType::directory) {
    while (member.path.size() > 1 && member.path.ends_with('/')) member.path.pop_back();
  }
  bool agreed = shape && shape->type == member.type && shape->path == member.path && shape->target == member.target &&
                shape->size == member.size && !::archive_entry_hardlink(entry) &&
                ::archive_entry_sparse_count(entry) == 0;
  if (!agreed) return damaged("two readers do not agree on member " + printable_path(member.path));
  return member;
}

Status TarReader::read(ByteSink& into) {
  Utf8Locale utf8;
  uint64_t total = 0;
  while (true) {
    const void* bytes = nullptr;
    size_t count = 0;
    la_int64_t offset = 0;
    int code = ::archive_read_data_block(state_->handle, &bytes, &count, &offset);
    if (code == ARCHIVE_EOF) break;
    if (code != ARCHIVE_OK) return state_->error();
    if (static_cast<uint64_t>(offset) != total || count > state_->size - total) {
      return damaged("a file's bytes are not in one piece");
    }
    if (auto written = into.write({static_cast<const std::byte*>(bytes), count}); !written) return written;
    total += count;
  }
  if (total != state_->size) return damaged("a file is shorter than its header says");
  return Ok{};
}

}  // namespace hitfs
