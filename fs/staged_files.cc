#include "fs/staged_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>

#include "store/base/io.h"

namespace hitfs::fs {

namespace {

constexpr std::string_view kWhat = "staged file";

int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000ll + time.tv_nsec; }

timespec to_timespec(const std::optional<int64_t>& time_ns) {
  if (!time_ns) return {0, UTIME_OMIT};
  int64_t seconds = *time_ns / 1'000'000'000;
  int64_t rest = *time_ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  return {seconds, rest};
}

std::optional<Number> number_of(const std::string& name) {
  Number number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

}  // namespace

void StagedFiles::remember(Number number, const File& file) {
  auto files = open_files_.lock();
  if (files->by_number.contains(number)) return;
  files->order.push_front({number, file});
  files->by_number[number] = files->order.begin();
  if (files->order.size() <= most_open_) return;
  files->by_number.erase(files->order.back().number);
  files->order.pop_back();
}

Result<StagedFiles::File> StagedFiles::open(Number number) {
  {
    auto files = open_files_.lock();
    if (auto found = files->by_number.find(number); found != files->by_number.end()) {
      files->order.splice(files->order.begin(), files->order, found->second);
      return found->second->file;
    }
  }
  auto fd = io::open_write(path(number));
  if (!fd) return std::move(fd).error();
  auto file = std::make_shared<UniqueFd>(*std::move(fd));
  remember(number, file);
  return file;
}

Result<StagedFiles::File> StagedFiles::open_or_create(Number number) {
  auto file = open(number);
  if (file || file.error().code != Code::not_found) return file;
  auto made = io::create(path(number), kWhat);
  // Another thread may have been faster; then it is there now.
  if (!made) {
    auto again = open(number);
    return again ? std::move(again) : Result<File>(std::move(made).error());
  }
  auto fresh = std::make_shared<UniqueFd>(*std::move(made));
  remember(number, fresh);
  return fresh;
}

Result<size_t> StagedFiles::read(Number number, std::span<std::byte> into, uint64_t offset) {
  auto file = open(number);
  if (!file && file.error().code == Code::permission_denied) {
    // The daemon has made it a blob (a second name of the same file, read-only) and we have not heard of it yet.
    auto blob = io::open_read(path(number));
    if (!blob) return std::move(blob).error();
    return io::read_at(blob->get(), into, offset);
  }
  if (!file) return std::move(file).error();
  return io::read_at((*file)->get(), into, offset);
}

Status StagedFiles::write(Number number, std::span<const std::byte> bytes, uint64_t offset) {
  auto file = open_or_create(number);
  if (!file) return std::move(file).error();
  return io::write_all_at((*file)->get(), bytes, offset, kWhat);
}

Status StagedFiles::truncate(Number number, uint64_t size) {
  auto file = open_or_create(number);
  if (!file) return std::move(file).error();
  return io::truncate((*file)->get(), size, kWhat);
}

Status StagedFiles::set_times(Number number, std::optional<int64_t> mtime_ns, std::optional<int64_t> atime_ns) {
  auto file = open_or_create(number);
  if (!file) return std::move(file).error();
  timespec times[2] = {to_timespec(atime_ns), to_timespec(mtime_ns)};
  if (::futimens((*file)->get(), times) < 0) return system_error("set the times of a staged file", errno);
  return Ok{};
}

Status StagedFiles::sync(Number number) {
  auto file = open(number);
  if (!file) return file.error().code == Code::not_found ? Status(Ok{}) : Status(std::move(file).error());
  return io::sync_data((*file)->get(), kWhat);
}

Status StagedFiles::sync_all() {
  auto folder = io::open_read(folder_);
  if (!folder) return std::move(folder).error();
  return io::sync_filesystem(folder->get(), kWhat);
}

Result<std::optional<StagedFiles::Info>> StagedFiles::info(Number number) const {
  struct stat info {};
  if (::stat(path(number).c_str(), &info) < 0) {
    if (errno == ENOENT) return std::optional<Info>{};
    return system_error("stat a staged file", errno);
  }
  return std::optional(Info{static_cast<uint64_t>(info.st_size), nanoseconds(info.st_mtim), nanoseconds(info.st_ctim),
                            nanoseconds(info.st_atim)});
}

Status StagedFiles::remove(Number number) {
  {
    auto files = open_files_.lock();
    if (auto found = files->by_number.find(number); found != files->by_number.end()) {
      files->order.erase(found->second);
      files->by_number.erase(found);
    }
  }
  auto done = io::unlink(path(number), kWhat);
  if (!done && done.error().code == Code::not_found) return Ok{};
  return done;
}

Status StagedFiles::sweep(const std::unordered_set<Number>& keep, const std::set<std::string>& keep_named) {
  std::error_code failure;
  std::vector<std::filesystem::path> leftovers;
  for (std::filesystem::directory_iterator it(folder_, failure), end; !failure && it != end; it.increment(failure)) {
    auto name = it->path().filename().string();
    auto number = number_of(name);
    // Nothing else may go: by mount.lock, which is the supervisor's, the daemon knows that this mount lives.
    bool ours = name.ends_with(kDraftSuffix) || name.ends_with(kOutputSuffix);
    bool wanted = number ? keep.contains(*number) : !ours || keep_named.contains(name);
    if (!wanted) leftovers.push_back(it->path());
  }
  if (failure) return system_error("list " + folder_.string(), failure.value());
  for (const auto& path : leftovers) {
    if (auto done = io::unlink(path, kWhat); !done && done.error().code != Code::not_found) return done;
  }
  return Ok{};
}

}  // namespace hitfs::fs
