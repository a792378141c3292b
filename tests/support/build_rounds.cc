#include "tests/support/build_rounds.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "store/base/unique_fd.h"

namespace hitfs::testing {

namespace stdfs = std::filesystem;

namespace {

std::string content(int round, int size) {
  std::string text = "round " + std::to_string(round) + ":";
  while (text.size() < static_cast<size_t>(size)) text += std::to_string(text.size() * 31 + static_cast<size_t>(round));
  return text;
}

std::string complaint(const std::string& what, int round) {
  return what + " in round " + std::to_string(round) + ": " + std::strerror(errno);
}

}  // namespace

std::string build_round(const stdfs::path& root, int round) {
  auto temporary = (root / "tmp").string();
  auto entry = (root / ("entry" + std::to_string(round % 5))).string();
  auto text = content(round, 100 + (round * 7919) % 60'000);
  if (::mkdir(temporary.c_str(), 0755) < 0) return complaint("mkdir", round);
  UniqueFd file(::open((temporary + "/data").c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return complaint("create", round);
  for (size_t done = 0; done < text.size(); done += 10'000) {
    auto piece = std::string_view(text).substr(done, 10'000);
    if (::write(file.get(), piece.data(), piece.size()) != static_cast<ssize_t>(piece.size())) {
      return complaint("write", round);
    }
  }
  file.reset();
  if (::symlink("data", (temporary + "/link").c_str()) < 0) return complaint("symlink", round);
  if (::access(entry.c_str(), F_OK) == 0) {
    if (::unlink((entry + "/data").c_str()) < 0) return complaint("unlink", round);
    if (::unlink((entry + "/link").c_str()) < 0) return complaint("unlink of the link", round);
    if (::rmdir(entry.c_str()) < 0) return complaint("rmdir", round);
  } else if (errno != ENOENT) {
    return complaint("access", round);
  }
  if (::rename(temporary.c_str(), entry.c_str()) < 0) return complaint("rename", round);
  std::ifstream stream(entry + "/link", std::ios::binary);
  std::string got{std::istreambuf_iterator<char>(stream), {}};
  if (got != text) return "wrong bytes in round " + std::to_string(round) + ", " + std::to_string(got.size());
  return "";
}

int build_until(const stdfs::path& root, const stdfs::path& stop, const stdfs::path& report) {
  if (::mkdir(root.c_str(), 0755) < 0) return 1;
  int round = 0;
  for (; !stdfs::exists(stop); ++round) {
    if (auto failed = build_round(root, round); !failed.empty()) {
      std::ofstream(report) << failed;
      return 2;
    }
  }
  return round > 3 ? 0 : 3;
}

}  // namespace hitfs::testing
