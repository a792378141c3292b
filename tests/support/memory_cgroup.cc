#include "tests/support/memory_cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace hitfs::testing {
namespace {

namespace fs = std::filesystem;

// The folder of the test's own memory cgroup, from the line "4:memory:/path"; empty without version 1.
fs::path own_folder() {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t controller = line.find(":memory:");
    if (controller == std::string::npos) continue;
    // In a container the path may be the host's, and the root of what is mounted is ours.
    const fs::path root = "/sys/fs/cgroup/memory", own = root.string() + line.substr(controller + 8);
    return fs::exists(own) ? own : root;
  }
  return {};
}

bool write(const fs::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text << std::flush;
  return out.good();
}

uint64_t number_in(const fs::path& file, const std::string& keyword) {
  std::ifstream in(file);
  std::string word;
  while (!keyword.empty() && in >> word && word != keyword) {
  }
  uint64_t number = 0;
  in >> number;
  return number;
}

// What a test that was killed could not remove.
void remove_orphans(const fs::path& folder) {
  constexpr std::string_view kPrefix = "hitfs-test-";
  std::vector<fs::path> orphans;
  for (const auto& group : fs::directory_iterator(folder)) {
    const std::string name = group.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    const std::string maker = name.substr(kPrefix.size(), name.find('-', kPrefix.size()) - kPrefix.size());
    if (!fs::exists("/proc/" + maker)) orphans.push_back(group.path());
  }
  for (const auto& orphan : orphans) ::rmdir(orphan.c_str());
}

}  // namespace

std::optional<std::string> MemoryCgroup::why_not() {
  const fs::path own = own_folder();
  if (own.empty()) return "no memory cgroup of version 1 on this machine";
  const fs::path probe = own / ("hitfs-test-" + std::to_string(::getpid()) + "-probe");
  if (::mkdir(probe.c_str(), 0755) != 0) return "cannot make a memory cgroup: " + std::string(std::strerror(errno));
  const bool limits = fs::exists(probe / "memory.limit_in_bytes");
  ::rmdir(probe.c_str());
  return limits ? std::nullopt : std::optional<std::string>("memory cgroups have no limit here");
}

MemoryCgroup::MemoryCgroup(const std::string& name, uint64_t limit_bytes)
    : folder_(own_folder() / ("hitfs-test-" + std::to_string(::getpid()) + "-" + name)) {
  remove_orphans(folder_.parent_path());
  fs::create_directory(folder_);
  if (!write(folder_ / "memory.limit_in_bytes", std::to_string(limit_bytes))) {
    throw std::runtime_error("cannot limit the memory of " + folder_.string());
  }
  write(folder_ / "memory.move_charge_at_immigrate", "3");  // gone from newer kernels, where what was used stays behind
}

MemoryCgroup::~MemoryCgroup() {
  std::ifstream members(folder_ / "cgroup.procs");
  for (std::string process; std::getline(members, process);) write(folder_.parent_path() / "cgroup.procs", process);
  ::rmdir(folder_.c_str());
}

bool MemoryCgroup::add(pid_t process) const { return write(folder_ / "cgroup.procs", std::to_string(process)); }

uint64_t MemoryCgroup::peak_bytes() const { return number_in(folder_ / "memory.max_usage_in_bytes", ""); }

uint64_t MemoryCgroup::kills() const { return number_in(folder_ / "memory.oom_control", "oom_kill"); }

}  // namespace hitfs::testing
