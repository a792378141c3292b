#include "fs/nx/private_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include "store/base/io.h"

namespace hitfs::fs {

namespace {

constexpr std::string_view kWhat = "nx database";

}  // namespace

std::vector<std::filesystem::path> databases_in(const std::filesystem::path& folder, std::string_view prefix) {
  std::vector<std::filesystem::path> found;
  std::error_code failure;
  for (std::filesystem::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure)) {
    auto name = it->path().filename().string();
    bool is_file = it->symlink_status(failure).type() == std::filesystem::file_type::regular;
    if (is_file && name.starts_with(prefix) && name.ends_with(".db")) found.push_back(it->path());
  }
  return found;
}

std::optional<FileIdentity> identity_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) < 0) return std::nullopt;
  return FileIdentity{info.st_dev, info.st_ino};
}

Status PrivateFiles::make() const { return io::make_directories(folder_ / "workspaces", 0700, kWhat); }

std::vector<std::filesystem::path> PrivateFiles::shared_databases() const { return databases_in(folder_, "shared"); }

std::vector<std::filesystem::path> PrivateFiles::workspace_databases() const {
  std::vector<std::filesystem::path> found;
  std::error_code failure;
  auto workspaces = folder_ / "workspaces";
  for (std::filesystem::directory_iterator it(workspaces, failure), end; !failure && it != end; it.increment(failure)) {
    for (auto& database : databases_in(it->path())) found.push_back(std::move(database));
  }
  return found;
}

std::vector<std::filesystem::path> PrivateFiles::all_databases() const {
  auto all = shared_databases();
  for (auto& own : workspace_databases()) all.push_back(std::move(own));
  return all;
}

bool PrivateFiles::has_turso_side_file(const std::filesystem::path& database) {
  std::error_code failure;
  return std::filesystem::exists(database.string() + "-tshm", failure);
}

Result<std::optional<UniqueFd>> PrivateFiles::try_lock(const std::filesystem::path& database) {
  auto path = database;
  path.replace_extension(".lock");
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file) return system_error("open " + path.string(), errno);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return std::optional(std::move(file));
  if (errno == EWOULDBLOCK) return std::optional<UniqueFd>{};
  return system_error("lock " + path.string(), errno);
}

Status PrivateFiles::remove(const std::filesystem::path& database) {
  for (const char* part : {"", "-wal", "-shm", "-journal", "-tshm"}) {
    auto gone = io::unlink(database.string() + part, kWhat);
    if (!gone && gone.error().code != Code::not_found) return gone;
  }
  return Ok{};
}

}  // namespace hitfs::fs
