#include "store/codecs/nx_codec.h"

#include <array>

#include "store/archive/gzip.h"
#include "store/archive/utf8.h"
#include "store/base/io.h"
#include "store/codecs/tree_tar.h"
#include "store/text_stream.h"

namespace hitfs {

namespace {

constexpr std::string_view kTerminalOutput = "terminalOutput";
constexpr std::string_view kCode = "code";
constexpr size_t kCodeBytes = 4;

Error refused(std::string_view why) { return {Code::corrupt, "nx artifact: " + std::string(why)}; }

// The first name of a path, seen as an nx client sees it ("./code" and "code/" are "code" to some of them).
std::string_view first_name(std::string_view path) {
  while (path.starts_with("./")) path.remove_prefix(2);
  return path.substr(0, path.find('/'));
}

// Collects the two members that are not part of the tree.
struct SpecialMembers {
  std::optional<std::string> terminal_output;
  std::optional<std::string> code;

  static bool claims(const TarMember& member) {
    auto name = first_name(member.path);
    return name == kTerminalOutput || name == kCode;
  }

  Status take(const TarMember& member, TarReader& tar, const GuardLimits& limits) {
    bool is_code = member.path == kCode;
    if (member.type != FileType::file || (!is_code && member.path != kTerminalOutput)) {
      return refused("\"" + printable_path(member.path) + "\" stands where terminalOutput or code belongs");
    }
    auto& into = is_code ? code : terminal_output;
    if (into) return refused(printable_path(member.path) + " comes twice");
    if (is_code && member.size != kCodeBytes) return refused("code does not have 4 bytes");
    if (member.size > limits.terminal_output_bytes) {
      return refused("terminalOutput beyond the limit of " + std::to_string(limits.terminal_output_bytes) + " bytes");
    }
    TextSink text;
    if (auto read = tar.read(text); !read) return read;
    into = std::move(text.text);
    return Ok{};
  }

  Result<ArtifactFacts> facts() && {
    if (!code) return refused("code is missing");
    ArtifactFacts facts;
    uint32_t value = 0;
    for (unsigned char c : *code) value = value << 8 | c;
    facts.exit_code = static_cast<int32_t>(value);
    facts.has_terminal_output = terminal_output.has_value();
    if (terminal_output) facts.terminal_output = *std::move(terminal_output);
    if (!is_utf8(facts.terminal_output)) return refused("terminalOutput is not UTF-8");
    return facts;
  }
};

Result<std::string> terminal_output_of(const ManifestHeader& header, ContentSource& contents, uint64_t limit) {
  TextSink text;
  if (!header.terminal_output) return std::move(text.text);
  auto size = header.terminal_output->size;
  if (size > limit) return Error{Code::invalid_argument, "terminal output beyond the limit"};
  auto copied = copy_content(contents, *header.terminal_output, size, [&](auto bytes) { return text.write(bytes); });
  if (!copied) return in_context("terminal output", std::move(copied).error());
  if (!is_utf8(text.text)) return Error{Code::invalid_argument, "terminal output is not UTF-8, nx would fail on it"};
  return std::move(text.text);
}

Status write_text(TarWriter& tar, std::string_view name, std::string_view text) {
  auto begun = tar.begin_file(name, 0644, 0, text.size());
  if (!begun) return begun;
  return tar.write(io::as_bytes(text));
}

// As the guard wants it for other programs: they can work in every directory and read every file.
uint16_t nx_mode(const ManifestRecord& record) {
  uint16_t needed = record.type == FileType::directory ? 0700 : 0400;
  return Guard::safe_mode(record.mode) | needed;
}

}  // namespace

Codec::Recognised NxCodec::recognise(std::span<const std::byte> prefix) const {
  using namespace std::string_view_literals;
  constexpr std::array kTomorrow = {"\x28\xb5\x2f\xfd"sv, "\xfd\x37zXZ\x00"sv, "BZh"sv, "\x04\x22\x4d\x18"sv,
                                    "PK\x03\x04"sv};
  auto text = io::as_text(prefix);
  if (text.starts_with("\x1f\x8b"sv)) return Recognised::yes;
  for (auto magic : kTomorrow) {
    if (text.starts_with(magic)) return Recognised::unknown;
  }
  return Recognised::damaged;
}

Result<ArtifactFacts> NxCodec::unpack(ByteSource& artifact, TreeSink& into) const {
  Guard guard(limits_, ArchiveReaders::other_programs);
  GzipReader gzip(artifact, guard);
  TarReader tar(gzip, guard.readers());
  SpecialMembers special;
  while (true) {
    auto member = tar.next();
    if (!member) return in_context("nx artifact", std::move(member).error());
    if (!*member) break;
    auto taken = SpecialMembers::claims(**member) ? special.take(**member, tar, limits_)
                                                  : unpack_member(tar, **member, guard, into);
    if (!taken) return in_context("nx artifact", std::move(taken).error());
  }
  return std::move(special).facts();
}

Status NxCodec::pack(const ManifestView& tree, ContentSource& contents, ByteSink& into) const {
  if (tree.size() == 0 || tree.at(0).type != FileType::directory) {
    return Error{Code::invalid_argument, "an nx artifact is made of a directory"};
  }
  for (auto name : {kTerminalOutput, kCode}) {
    if (tree.child(0, name)) {
      return Error{Code::invalid_argument, "an output named \"" + std::string(name) + "\" cannot travel to nx"};
    }
  }
  auto header = tree.header();
  auto terminal_output = terminal_output_of(header, contents, limits_.terminal_output_bytes);
  if (!terminal_output) return std::move(terminal_output).error();

  Guard guard(limits_, ArchiveReaders::other_programs);
  GzipWriter gzip(into, limits_);
  TarWriter tar(TarWriter::Format::gnu, gzip);
  if (auto packed = pack_members(tree, contents, guard, tar, nx_mode); !packed) return packed;
  if (auto written = write_text(tar, kTerminalOutput, *terminal_output); !written) return written;
  auto value = static_cast<uint32_t>(header.exit_code);
  std::string code;
  for (int shift = 24; shift >= 0; shift -= 8) code += static_cast<char>(value >> shift & 0xff);
  if (auto written = write_text(tar, kCode, code); !written) return written;
  if (auto ended = tar.finish(); !ended) return ended;
  return gzip.finish();
}

}  // namespace hitfs
