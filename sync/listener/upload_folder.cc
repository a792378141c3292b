#include "sync/listener/upload_folder.h"

#include <fmt/core.h>
#include <sys/statvfs.h>

#include <random>

#include "store/base/io.h"
#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr std::string_view kWhat = "upload";

// 64 bits, in hexadecimal.
std::string random_name() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

Status check_space(const std::filesystem::path& folder, uint64_t size) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) < 0) return system_error("space of " + folder.string(), errno);
  if (static_cast<uint64_t>(info.f_bavail) * info.f_frsize >= size) return Ok{};
  return Error{Code::no_space,
               "an upload of " + std::to_string(size) + " bytes does not fit on the disk of " + folder.string()};
}

}  // namespace

Upload::~Upload() {
  auto gone = io::unlink(path_, kWhat);
  // The daemon removes or renames what it has taken.
  if (!gone && gone.error().code != Code::not_found) kLog.warn("upload not removed: {}", gone.error().message);
}

Status Upload::write(std::span<const std::byte> bytes) {
  auto written = io::write_all(file_.get(), bytes, kWhat);
  if (written) size_ += bytes.size();
  return written;
}

UploadFolder::UploadFolder(const StorePaths& paths, std::string front)
    : paths_(paths), front_(std::move(front)), life_(random_name()) {}

void UploadFolder::clear() {
  std::error_code ended;
  std::filesystem::directory_iterator left(paths_.staging(front_), ended);
  for (; !ended && left != std::filesystem::directory_iterator(); left.increment(ended)) {
    auto gone = io::unlink(left->path(), kWhat);
    // The daemon may be taking it just now. What stays is in nobody's way.
    if (!gone && gone.error().code != Code::not_found) kLog.warn("upload not removed: {}", gone.error().message);
  }
}

Result<std::unique_ptr<Upload>> UploadFolder::begin(uint64_t size) {
  std::error_code ignored;
  if (!std::filesystem::exists(paths_.format(), ignored)) return Error{Code::unavailable, "there is no store yet"};
  auto folder = paths_.staging(front_);
  if (auto made = io::make_directories(folder, 0700, kWhat); !made) return std::move(made).error();
  if (auto fits = check_space(folder, size); !fits) return std::move(fits).error();
  auto path = folder / (life_ + "-" + std::to_string(++last_number_));
  auto file = io::create(path, kWhat);
  if (!file) return std::move(file).error();
  return std::make_unique<Upload>(std::move(path), *std::move(file));
}

}  // namespace hitfs
