#include "store/upkeep/store_opening.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>

#include "store/base/io.h"
#include "store/base/log.h"
#include "store/upkeep/index_rebuild.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::store};
constexpr std::string_view kFormatPrefix = "hitfs store ";
constexpr int kFormat = 1;

bool is_there(const std::filesystem::path& path) { return ::access(path.c_str(), F_OK) == 0; }

// What the processes of hitfs may have put into a store's folder before its daemon first ran.
bool is_ours(const std::string& name) {
  constexpr std::array kPrefixes = {"supervisor", "endpoint", "daemon.", "hitfs", "staging",
                                    "private",    "lease",    "mount",   "run",   "lost+found"};
  return std::any_of(kPrefixes.begin(), kPrefixes.end(), [&](const char* prefix) { return name.starts_with(prefix); });
}

Status refuse_foreign_folder(const StorePaths& paths) {
  std::error_code failure;
  for (const auto& item : std::filesystem::directory_iterator(paths.root, failure)) {
    auto name = item.path().filename().string();
    // The second is what an opening that was killed left of the file that makes a folder a store.
    if (is_ours(name) || item.path() == paths.format().string() + ".new") continue;
    return Error{Code::invalid_argument, paths.root.string() + " is no hitfs store and not empty (" + name +
                                             "); choose an empty or new folder with --store"};
  }
  return Ok{};
}

Status check_format(const StorePaths& paths, const std::string& text) {
  int format = 0;
  std::string_view rest = text;
  if (rest.starts_with(kFormatPrefix)) {
    rest.remove_prefix(kFormatPrefix.size());
    std::from_chars(rest.data(), rest.data() + rest.size(), format);
  }
  if (format >= 1 && format <= kFormat) return Ok{};
  if (format > kFormat) {
    return Error{Code::invalid_argument, "the store " + paths.root.string() + " has format " + std::to_string(format) +
                                             "; this hitfs knows " + std::to_string(kFormat) +
                                             ": use the newer hitfs that wrote it, or another --store"};
  }
  return Error{Code::invalid_argument, paths.format().string() + " is damaged; write \"" + std::string(kFormatPrefix) +
                                           std::to_string(kFormat) + "\" into it, or choose another --store"};
}

Status make_folders(const StorePaths& paths) {
  for (const auto& folder : {paths.manifests(), paths.packs(), paths.cas(), paths.staging()}) {
    if (auto made = io::make_directories(folder, 0700, "folder"); !made) return made;
  }
  for (int first = 0; first < 256; ++first) {
    std::array<char, 3> name{};
    std::snprintf(name.data(), name.size(), "%02x", static_cast<unsigned>(first));
    if (auto made = io::make_directories(paths.cas() / name.data(), 0700, "folder"); !made) return made;
  }
  if (auto synced = io::sync_directory(paths.cas(), "folder"); !synced) return synced;
  // The last one: when it is there, all are.
  if (auto made = io::make_directories(paths.intakes(), 0700, "folder"); !made) return made;
  return io::sync_directory(paths.root, "folder");
}

// In `index-damaged` while the new index is not whole yet.
constexpr std::string_view kRebuilding = "rebuilding\n";

bool is_rebuilding(const StorePaths& paths) {
  auto text = io::read_file(paths.index_damaged(), 64);
  return text && *text == kRebuilding;
}

// Where a damaged index goes.
std::string aside_name(const StorePaths& paths, const Clock& clock) {
  auto name = paths.index().string() + ".damaged-" + std::to_string(clock.unix_ns() / 1'000'000'000);
  auto free = name;
  for (int more = 1; is_there(free); ++more) free = name + "." + std::to_string(more);
  return free;
}

// Keeps a damaged index for whoever wants to know what happened; one that was never whole goes.
Status set_aside(const StorePaths& paths, const Clock& clock) {
  bool partial = is_rebuilding(paths);
  auto aside = aside_name(paths, clock);
  bool moved = false;
  for (const char* part : {"-wal", "-shm", ""}) {
    auto from = paths.index().string() + part;
    if (!is_there(from)) continue;
    auto done = partial ? io::unlink(from, "aside") : io::rename(from, aside + part, "aside");
    if (!done) return done;
    moved = !partial;
  }
  if (moved) kLog.error("index set aside kept=\"{}\" remedy=\"remove it to free the room\"", aside);
  return io::replace_file(paths.index_damaged(), io::as_bytes(kRebuilding), "index damaged");
}

// How far numbers were used, as far as the names of manifests tell: for a store whose `high-water` is lost.
uint64_t end_of_manifests(const StorePaths& paths) {
  uint64_t end = 0;
  std::error_code failure;
  for (const auto& folder : std::filesystem::directory_iterator(paths.manifests(), failure)) {
    auto name = folder.path().filename().string();
    uint64_t number = 0;
    std::from_chars(name.data(), name.data() + name.size(), number);
    end = std::max(end, (number + 1) * 4096);
  }
  // A block may have been given out above the last one that was committed.
  return end == 0 ? 0 : end + Numbers::kBlock;
}

// An index file that is missing or empty beside numbers in use was lost, not never made.
bool index_is_lost(const StorePaths& paths) {
  struct stat info {};
  if (::stat(paths.index().c_str(), &info) == 0 && info.st_size != 0) return false;
  return is_there(paths.high_water()) || end_of_manifests(paths) != 0;
}

// Whether an index that could not be opened is to be made again: not when the disk or another process is in the way.
bool tells_of_damage(const StorePaths& paths, const Error& error) {
  if (error.code == Code::corrupt) return true;
  // A damaged header can forbid SQLite what the disk allows.
  return error.code == Code::permission_denied && ::access(paths.index().c_str(), R_OK | W_OK) == 0 &&
         ::access(paths.root.c_str(), W_OK) == 0;
}

Result<OpenedIndex> open_sound_index(const StorePaths& paths, const std::string& boot_id,
                                     std::unique_ptr<Numbers>& numbers) {
  auto index = Index::open(paths.index(), boot_id);
  if (!index) return std::move(index).error();
  auto end = (*index)->end_of_numbers();
  if (!end) return std::move(end).error();
  numbers->start_at(*end);
  return OpenedIndex{*std::move(index), std::move(numbers)};
}

Result<OpenedIndex> make_index_again(const StorePaths& paths, const std::string& boot_id, const Clock& clock,
                                     AccessLog& log, std::unique_ptr<Numbers>& numbers) {
  if (auto aside = set_aside(paths, clock); !aside) return std::move(aside).error();
  // Reserves a block at once, so that an index that is lost again is noticed.
  if (auto number = numbers->take(1); !number) return std::move(number).error();
  auto opened = open_sound_index(paths, boot_id, numbers);
  if (!opened) return opened;
  auto report = rebuild_index(paths, *opened->index, log, clock.unix_ms());
  if (!report) return in_context("make the index again", std::move(report).error());
  auto end = opened->index->end_of_numbers();
  if (!end) return std::move(end).error();
  opened->numbers->start_at(*end);
  if (auto done = io::unlink(paths.index_damaged(), "index damaged"); !done) return std::move(done).error();
  kLog.error(
      "index made again entries={} blobs={} lost={} pushes={} effect=\"entries are hits again once their bytes were "
      "read; what was pinned is not any more; what a server may not have is pushed again\"",
      report->entries, report->blobs, report->lost, report->pushes);
  return opened;
}

}  // namespace

Status prepare_folders(const StorePaths& paths) {
  auto text = io::read_file(paths.format(), 256);
  if (text) {
    if (auto checked = check_format(paths, *text); !checked) return checked;
    return is_there(paths.intakes()) ? Status(Ok{}) : make_folders(paths);
  }
  if (text.error().code != Code::not_found) return std::move(text).error();
  if (auto foreign = refuse_foreign_folder(paths); !foreign) return foreign;
  auto format = std::string(kFormatPrefix) + std::to_string(kFormat) + "\n";
  if (auto written = io::replace_file(paths.format(), io::as_bytes(format), "format"); !written) return written;
  return make_folders(paths);
}

Result<OpenedIndex> open_index(const StorePaths& paths, const std::string& boot_id, const Clock& clock,
                               AccessLog& log) {
  uint64_t manifests_end = is_there(paths.high_water()) ? 0 : end_of_manifests(paths);
  auto numbers = Numbers::open(paths.high_water(), manifests_end, Numbers::Damage::refuse);
  if (!numbers && numbers.error().code == Code::corrupt) {
    kLog.error("high-water damaged error=\"{}\"", numbers.error().message);
    numbers = Numbers::open(paths.high_water(), end_of_manifests(paths), Numbers::Damage::forget_file);
  }
  if (!numbers) return std::move(numbers).error();

  if (index_is_lost(paths)) {
    kLog.error("index lost path=\"{}\"", paths.index().string());
  } else if (!is_there(paths.index_damaged())) {
    auto opened = open_sound_index(paths, boot_id, *numbers);
    if (opened) return opened;
    if (!tells_of_damage(paths, opened.error())) return in_context(paths.root.string(), std::move(opened).error());
    kLog.error("index damaged error=\"{}\"", opened.error().message);
  }
  auto made = make_index_again(paths, boot_id, clock, log, *numbers);
  return made ? std::move(made) : in_context(paths.root.string(), std::move(made).error());
}

void mark_index_damaged(const StorePaths& paths) {
  auto marked = io::replace_file(paths.index_damaged(), {}, "index damaged");
  kLog.error("index damaged remedy=\"restart hitfs: it makes the index again and keeps this one aside\" marked={}",
             marked.has_value());
}

}  // namespace hitfs
