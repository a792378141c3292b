#include "store/archive/tar_writer.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <optional>

#include "store/archive/utf8_locale.h"

namespace hitfs {

struct TarWriter::State {
  State(Format tar_format, ByteSink& sink) : format(tar_format), into(sink) {}
  ~State() {
    ::archive_entry_free(entry);
    // Freeing closes and so writes: an abandoned archive must stay without its end mark.
    abandoned = true;
    ::archive_write_free(handle);
  }

  // Never fails for libarchive, which leaks memory then (3.6): after a failure the rest is swallowed, and whoever
  // called sees `failure`.
  static la_ssize_t on_write(archive*, void* context, const void* bytes, size_t count) {
    auto& state = *static_cast<State*>(context);
    if (!state.failure && !state.abandoned) {
      auto written = state.into.write({static_cast<const std::byte*>(bytes), count});
      if (!written) state.failure = std::move(written).error();
    }
    return static_cast<la_ssize_t>(count);
  }

  // What became of a call to libarchive.
  Status outcome(bool succeeded) {
    if (failure) return *failure;
    if (succeeded) return Ok{};
    const char* text = ::archive_error_string(handle);
    return Error{Code::internal, std::string("tar: ") + (text ? text : "cannot be written")};
  }

  Format format;
  ByteSink& into;
  archive* handle = nullptr;
  archive_entry* entry = nullptr;
  std::optional<Error> failure;
  bool abandoned = false;
  uint64_t left = 0;  // bytes of the current file that are still to come
};

TarWriter::TarWriter(Format format, ByteSink& into) : state_(std::make_unique<State>(format, into)) {}

TarWriter::~TarWriter() = default;

Status TarWriter::open() {
  state_->handle = ::archive_write_new();
  state_->entry = ::archive_entry_new();
  if (!state_->handle || !state_->entry) return Error{Code::internal, "tar: out of memory"};
  ::archive_write_add_filter_none(state_->handle);
  if (state_->format == Format::gnu) {
    ::archive_write_set_format_gnutar(state_->handle);
  } else {
    ::archive_write_set_format_pax(state_->handle);
    // Names are bytes: no conversion, and the archive says so.
    int set = ::archive_write_set_options(state_->handle, "hdrcharset=BINARY");
    if (set != ARCHIVE_OK) return state_->outcome(false);
  }
  // No records of 10 KiB: the end of the archive is two zero blocks.
  ::archive_write_set_bytes_per_block(state_->handle, 0);
  ::archive_write_set_bytes_in_last_block(state_->handle, 1);
  int opened = ::archive_write_open(state_->handle, state_.get(), nullptr, State::on_write, nullptr);
  return state_->outcome(opened == ARCHIVE_OK);
}

// Fills in what all types share and writes the header; type, mode, size and target are in the entry already.
Status TarWriter::header(std::string_view path, int64_t mtime_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  int64_t seconds = mtime_ns / kSecond - (mtime_ns % kSecond < 0 ? 1 : 0);
  auto nanoseconds = static_cast<long>(mtime_ns - seconds * kSecond);
  if (state_->format == Format::gnu) {
    seconds = std::max<int64_t>(seconds, 0);
    nanoseconds = 0;
  }
  ::archive_entry_copy_pathname(state_->entry, std::string(path).c_str());
  ::archive_entry_set_mtime(state_->entry, seconds, nanoseconds);
  return state_->outcome(::archive_write_header(state_->handle, state_->entry) == ARCHIVE_OK);
}

Status TarWriter::directory(std::string_view path, uint16_t mode, int64_t mtime_ns) {
  Utf8Locale utf8;
  if (auto opened = state_->handle ? Status(Ok{}) : open(); !opened) return opened;
  ::archive_entry_clear(state_->entry);
  ::archive_entry_set_filetype(state_->entry, AE_IFDIR);
  ::archive_entry_set_perm(state_->entry, mode);
  return header(path, mtime_ns);
}

Status TarWriter::symlink(std::string_view path, std::string_view target, int64_t mtime_ns) {
  Utf8Locale utf8;
  if (auto opened = state_->handle ? Status(Ok{}) : open(); !opened) return opened;
  ::archive_entry_clear(state_->entry);
  ::archive_entry_set_filetype(state_->entry, AE_IFLNK);
  ::archive_entry_set_perm(state_->entry, 0777);
  ::archive_entry_copy_symlink(state_->entry, std::string(target).c_str());
  return header(path, mtime_ns);
}

Status TarWriter::begin_file(std::string_view path, uint16_t mode, int64_t mtime_ns, uint64_t size) {
  Utf8Locale utf8;
  if (auto opened = state_->handle ? Status(Ok{}) : open(); !opened) return opened;
  ::archive_entry_clear(state_->entry);
  ::archive_entry_set_filetype(state_->entry, AE_IFREG);
  ::archive_entry_set_perm(state_->entry, mode);
  ::archive_entry_set_size(state_->entry, static_cast<la_int64_t>(size));
  state_->left = size;
  return header(path, mtime_ns);
}

Status TarWriter::write(std::span<const std::byte> bytes) {
  if (bytes.size() > state_->left) return Error{Code::internal, "tar: more bytes than the header says"};
  state_->left -= bytes.size();
  if (bytes.empty()) return Ok{};
  la_ssize_t written = ::archive_write_data(state_->handle, bytes.data(), bytes.size());
  return state_->outcome(written == static_cast<la_ssize_t>(bytes.size()));
}

Status TarWriter::finish() {
  Utf8Locale utf8;
  if (auto opened = state_->handle ? Status(Ok{}) : open(); !opened) return opened;
  if (state_->left > 0) return Error{Code::internal, "tar: fewer bytes than the header says"};
  return state_->outcome(::archive_write_close(state_->handle) == ARCHIVE_OK);
}

}  // namespace hitfs
