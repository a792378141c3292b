#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "store/base/result.h"
#include "store/stream.h"

namespace hitfs {

// Writes a deterministic tar stream through libarchive: owner 0, no names of people, no times but the given ones, two
// zero blocks at the end. One owner, not thread-safe; names are bytes, the process's locale does not matter.
class TarWriter {
 public:
  enum class Format {
    gnu,  // what nx and every other tool reads; times in whole seconds, not before 1970
    pax,  // keeps nanoseconds and times before 1970
  };
  // `into` must outlive the writer.
  TarWriter(Format format, ByteSink& into);
  ~TarWriter();

  Status directory(std::string_view path, uint16_t mode, int64_t mtime_ns);
  Status symlink(std::string_view path, std::string_view target, int64_t mtime_ns);
  // Exactly `size` bytes follow through write().
  Status begin_file(std::string_view path, uint16_t mode, int64_t mtime_ns, uint64_t size);
  Status write(std::span<const std::byte> bytes);
  // Writes the end of the archive; must be the last call.
  Status finish();

 private:
  struct State;
  Status open();
  Status header(std::string_view path, int64_t mtime_ns);

  std::unique_ptr<State> state_;
};

}  // namespace hitfs
