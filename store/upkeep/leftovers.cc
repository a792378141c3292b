#include "store/upkeep/leftovers.h"

#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/io.h"
#include "store/index/blob_table.h"

namespace hitfs {

namespace {

struct LeftoverName {
  std::string_view kind;
  std::string_view what;
};

LeftoverName parse(std::string_view name) {
  auto last = name.rfind('-');
  if (last == std::string_view::npos || last == 0) return {};
  auto before = name.rfind('-', last - 1);
  if (before == std::string_view::npos) return {};
  return {name.substr(before + 1, last - before - 1), name.substr(last + 1)};
}

uint64_t number_of(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Result<bool> has_row(Index& index, std::string_view sql, uint64_t number) {
  auto query = index.database().query(sql, {sqlite::number(number)});
  return query.next();
}

// Where the leftover would have been placed, when no row says that it belongs there.
Result<std::filesystem::path> unwanted_place(const StorePaths& paths, Index& index, const LeftoverName& name) {
  if (name.kind == "pack" || name.kind == "manifest") {
    bool pack = name.kind == "pack";
    auto number = number_of(name.what);
    auto wanted =
        has_row(index, pack ? "SELECT 1 FROM packs WHERE id = ?1" : "SELECT 1 FROM entries WHERE id = ?1", number);
    if (!wanted) return std::move(wanted).error();
    if (*wanted) return std::filesystem::path();
    return pack ? paths.pack(number) : paths.manifest(number);
  }
  if (name.kind != "blob") return std::filesystem::path();
  auto digest = Digest::parse(name.what, 0);
  if (!digest) return std::filesystem::path();
  auto row = BlobTable(index).find(*digest);
  if (!row) return std::move(row).error();
  if (*row && (*row)->place.pack == 0) return std::filesystem::path();
  return paths.blob(std::string(name.what));
}

Status remove_if_there(const std::filesystem::path& path) {
  auto gone = io::unlink(path, "leftover");
  return gone || gone.error().code == Code::not_found ? Status(Ok{}) : gone;
}

}  // namespace

Status remove_leftovers(const StorePaths& paths, Index& index) {
  std::error_code failure;
  for (const auto& item : std::filesystem::directory_iterator(paths.intakes(), failure)) {
    auto name = item.path().filename().string();
    auto place = unwanted_place(paths, index, parse(name));
    if (!place) return std::move(place).error();
    if (!place->empty()) {
      if (auto gone = remove_if_there(*place); !gone) return gone;
    }
    if (auto gone = remove_if_there(item.path()); !gone) return gone;
  }
  if (failure) return system_error("list " + paths.intakes().string(), failure.value());
  return Ok{};
}

}  // namespace hitfs
