#include "store/archive/gzip.h"

#include <isa-l.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "store/base/io.h"

namespace hitfs {

namespace {

constexpr size_t kInputBytes = 128 << 10;
constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kMaxHeaderBytes =
    128 << 10;  // FEXTRA has at most 64 KiB; a name or comment longer than that is no name
constexpr size_t kFixedHeaderBytes = 10;
constexpr size_t kStoredBlockBytes = 65535;

Error damaged(std::string_view what) { return {Code::corrupt, "gzip: " + std::string(what)}; }

uint8_t* to_isal(const std::byte* bytes) {
  // ISA-L's interface has no const; it does not write to its input.
  return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(bytes));
}

void append_le(std::string& into, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) into += static_cast<char>(value >> (8 * i) & 0xff);
}

Error over_limit(std::string_view what, uint64_t limit) {
  return {Code::invalid_argument, "entry beyond the limit of " + std::to_string(limit) + " " + std::string(what) +
                                      " bytes; raise it in the configuration if it is meant"};
}

std::string_view inflate_error(int code) {
  switch (code) {
    case ISAL_INCORRECT_CHECKSUM: return "checksum or length does not match";
    case ISAL_INVALID_WRAPPER: return "not a gzip header";
    case ISAL_UNSUPPORTED_METHOD: return "compressed with another method than deflate";
    default: return "damaged deflate data";
  }
}

}  // namespace

uint32_t crc32(std::span<const std::byte> bytes) { return crc32_gzip_refl(0, to_isal(bytes.data()), bytes.size()); }

// --- reading ---

struct GzipReader::State {
  inflate_state inflate;
  std::array<std::byte, kInputBytes> input;
  uint64_t artifact_bytes = 0;
  uint64_t unpacked_bytes = 0;
  bool source_ended = false;
  bool header_done = false;
  bool finished = false;
};

GzipReader::GzipReader(ByteSource& artifact, const Guard& guard)
    : artifact_(artifact), guard_(guard), state_(std::make_unique<State>()) {
  isal_inflate_init(&state_->inflate);
  state_->inflate.next_in = to_isal(state_->input.data());
  state_->inflate.avail_in = 0;
}

GzipReader::~GzipReader() = default;

// Adds input behind what is left of it; sets source_ended at the end.
Status GzipReader::fill() {
  auto& inflate = state_->inflate;
  std::memmove(state_->input.data(), inflate.next_in, inflate.avail_in);
  inflate.next_in = to_isal(state_->input.data());
  auto got = artifact_.read(std::span(state_->input).subspan(inflate.avail_in));
  if (!got) return std::move(got).error();
  inflate.avail_in += static_cast<uint32_t>(*got);
  state_->artifact_bytes += *got;
  state_->source_ended = *got == 0;
  return guard_.admit_bytes(state_->artifact_bytes, state_->unpacked_bytes);
}

Status GzipReader::read_header() {
  auto& inflate = state_->inflate;
  while (inflate.avail_in < kFixedHeaderBytes && !state_->source_ended) {
    if (auto filled = fill(); !filled) return filled;
  }
  if (inflate.avail_in < kFixedHeaderBytes) return damaged("shorter than a header");
  // Reserved flag bits: other readers refuse them, ISA-L does not look.
  if (std::to_integer<int>(state_->input[3]) & 0xe0) return damaged("reserved flags are set");

  inflate.crc_flag = ISAL_GZIP_NO_HDR_VER;
  isal_gzip_header header;
  isal_gzip_header_init(&header);
  int code = isal_read_gzip_header(&inflate, &header);
  while (code == ISAL_END_INPUT) {
    if (state_->artifact_bytes > kMaxHeaderBytes) return damaged("header too long");
    if (auto filled = fill(); !filled) return filled;
    if (state_->source_ended) return damaged("cut in its header");
    code = isal_read_gzip_header(&inflate, &header);
  }
  if (code != ISAL_DECOMP_OK) return damaged(inflate_error(code));
  state_->header_done = true;
  return Ok{};
}

Result<size_t> GzipReader::read(std::span<std::byte> into) {
  if (!state_->header_done) {
    if (auto header = read_header(); !header) return std::move(header).error();
  }
  auto& inflate = state_->inflate;
  inflate.next_out = to_isal(into.data());
  inflate.avail_out = static_cast<uint32_t>(std::min<size_t>(into.size(), kPieceBytes));
  uint32_t wanted = inflate.avail_out;
  while (!state_->finished && inflate.avail_out == wanted) {
    if (inflate.avail_in == 0 && !state_->source_ended) {
      if (auto filled = fill(); !filled) return std::move(filled).error();
    }
    uint32_t had_input = inflate.avail_in;
    int code = isal_inflate(&inflate);
    if (code != ISAL_DECOMP_OK) return damaged(inflate_error(code));
    state_->finished = inflate.block_state == ISAL_BLOCK_FINISH;
    bool stuck = inflate.avail_out == wanted && inflate.avail_in == had_input;
    if (!state_->finished && stuck && state_->source_ended) return damaged("cut before its end");
  }
  size_t got = wanted - inflate.avail_out;
  state_->unpacked_bytes += got;
  if (auto admitted = guard_.admit_bytes(state_->artifact_bytes, state_->unpacked_bytes); !admitted) {
    return std::move(admitted).error();
  }
  if (got == 0) {
    if (auto ended = expect_end(); !ended) return std::move(ended).error();
  }
  return got;
}

// Clients of a build tool pass over bytes behind the member, but fail on a second member, and no checksum covers what
// stands there: nothing may follow.
Status GzipReader::expect_end() {
  if (state_->inflate.avail_in == 0 && !state_->source_ended) {
    if (auto filled = fill(); !filled) return filled;
  }
  if (state_->inflate.avail_in > 0) return damaged("bytes after the end of its one member");
  return Ok{};
}

// --- writing ---

struct GzipWriter::State {
  std::vector<std::byte> piece;
  std::vector<std::byte> output;
  std::vector<std::byte> level_buffer;
  isal_zstream deflate;
  uint32_t crc = 0;
  uint64_t taken = 0;    // input bytes compressed so far
  uint64_t emitted = 0;  // artifact bytes written so far
};

GzipWriter::GzipWriter(ByteSink& into, const GuardLimits& limits, std::string extra)
    : into_(into), limits_(limits), extra_(std::move(extra)), state_(std::make_unique<State>()) {
  state_->piece.reserve(kPieceBytes);
  // A piece never grows by more than the headers of its stored blocks (5 bytes each).
  state_->output.resize(kPieceBytes + (64 << 10));
  state_->level_buffer.resize(ISAL_DEF_LVL1_DEFAULT);
}

GzipWriter::~GzipWriter() = default;

Status GzipWriter::emit(std::span<const std::byte> bytes) {
  state_->emitted += bytes.size();
  if (state_->emitted > limits_.artifact_bytes) return over_limit("artifact", limits_.artifact_bytes);
  return into_.write(bytes);
}

// As nx writes it: no time, OS 255 (unknown).
Status GzipWriter::write_header() {
  std::string header("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", kFixedHeaderBytes);
  if (!extra_.empty()) {
    header[3] = 4;
    append_le(header, extra_.size(), 2);
    header += extra_;
  }
  return emit(io::as_bytes(header));
}

Status GzipWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    auto taken = bytes.first(std::min(bytes.size(), kPieceBytes - state_->piece.size()));
    state_->piece.insert(state_->piece.end(), taken.begin(), taken.end());
    bytes = bytes.subspan(taken.size());
    if (state_->piece.size() < kPieceBytes) continue;
    if (auto written = write_piece(); !written) return written;
  }
  return Ok{};
}

Status GzipWriter::write_piece() {
  if (state_->taken == 0) {
    if (auto written = write_header(); !written) return written;
  }
  auto& piece = state_->piece;
  state_->crc = crc32_gzip_refl(state_->crc, to_isal(piece.data()), piece.size());
  state_->taken += piece.size();
  if (state_->taken > limits_.unpacked_bytes) return over_limit("unpacked", limits_.unpacked_bytes);
  // Half of what the guard allows, and well before it looks.
  bool too_dense =
      state_->taken > limits_.ratio_from / 2 && state_->taken / std::max(limits_.ratio / 2, 1u) > state_->emitted;
  if (too_dense) return store_piece();

  auto& deflate = state_->deflate;
  isal_deflate_stateless_init(&deflate);
  deflate.level = 1;
  deflate.level_buf = to_isal(state_->level_buffer.data());
  deflate.level_buf_size = static_cast<uint32_t>(state_->level_buffer.size());
  deflate.flush = FULL_FLUSH;
  deflate.end_of_stream = 0;
  deflate.gzip_flag = IGZIP_DEFLATE;
  deflate.next_in = to_isal(piece.data());
  deflate.avail_in = static_cast<uint32_t>(piece.size());
  deflate.next_out = to_isal(state_->output.data());
  deflate.avail_out = static_cast<uint32_t>(state_->output.size());
  int code = isal_deflate_stateless(&deflate);
  if (code != COMP_OK || deflate.avail_in != 0) {
    return Error{Code::internal, "gzip: ISA-L deflate gave " + std::to_string(code)};
  }
  piece.clear();
  return emit(std::span(state_->output).first(state_->output.size() - deflate.avail_out));
}

Status GzipWriter::store_piece() {
  std::string stored;
  auto rest = io::as_text(state_->piece);
  while (!rest.empty()) {
    auto block = rest.substr(0, kStoredBlockBytes);
    stored += '\0';  // not the last block, stored, aligned
    append_le(stored, block.size(), 2);
    append_le(stored, ~block.size(), 2);
    stored += block;
    rest.remove_prefix(block.size());
  }
  state_->piece.clear();
  return emit(io::as_bytes(stored));
}

Status GzipWriter::finish() {
  if (state_->taken == 0 && state_->piece.empty()) {
    if (auto written = write_header(); !written) return written;
  } else if (!state_->piece.empty()) {
    if (auto written = write_piece(); !written) return written;
  }
  std::string end("\x03\x00", 2);  // the last block: fixed codes, empty
  append_le(end, state_->crc, 4);
  append_le(end, state_->taken & 0xffffffff, 4);
  return emit(io::as_bytes(end));
}

}  // namespace hitfs
