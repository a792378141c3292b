#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/numbers.h"
#include "store/base/guarded.h"
#include "store/base/process.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

// The bytes of a mount's staged files: staging/<mount>/<number>, flat, made by the first write. They hold size and
// times too, so that nothing has to be written twice. A bounded number of descriptors stays open. Safe from several
// threads; the caller sees to it that nobody writes what is frozen.
class StagedFiles {
 public:
  // Draft manifests lie beside the staged files, as <tree>.draft.
  static constexpr std::string_view kDraftSuffix = ".draft";
  // And what their terminal output is to be, as <tree>.output.
  static constexpr std::string_view kOutputSuffix = ".output";

  explicit StagedFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // `not_found` when there is no such file (an empty file has none until it is touched); short only at the end.
  Result<size_t> read(Number number, std::span<std::byte> into, uint64_t offset);
  Status write(Number number, std::span<const std::byte> bytes, uint64_t offset);
  Status truncate(Number number, uint64_t size);
  Status set_times(Number number, std::optional<int64_t> mtime_ns, std::optional<int64_t> atime_ns);
  Status sync(Number number);
  // Everything on the file system that the folder lies on.
  Status sync_all();

  struct Info {
    uint64_t size = 0;
    int64_t mtime_ns = 0, ctime_ns = 0, atime_ns = 0;
  };
  // Nothing when there is no such file.
  Result<std::optional<Info>> info(Number number) const;

  // A missing file is fine.
  Status remove(Number number);
  // Removes every staged file that is not in `keep`, and every draft and output that is not in `keep_named`.
  Status sweep(const std::unordered_set<Number>& keep, const std::set<std::string>& keep_named);

  [[nodiscard]] std::filesystem::path path(Number number) const { return folder_ / std::to_string(number); }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  using File = std::shared_ptr<UniqueFd>;
  Result<File> open(Number number);
  Result<File> open_or_create(Number number);
  void remember(Number number, const File& file);

  struct Recent {
    Number number;
    File file;
  };
  struct OpenFiles {
    std::list<Recent> order;  // most recent first
    std::unordered_map<Number, std::list<Recent>::iterator> by_number;
  };
  static constexpr size_t kOpenFiles = 256;  // fewer where descriptors are few

  std::filesystem::path folder_;
  const size_t most_open_ = std::min(kOpenFiles, file_limit() / 4);
  Guarded<OpenFiles> open_files_;
};

}  // namespace hitfs::fs
