#include "cli/supervisor/fd_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <sstream>

#include "cli/supervisor/service_notify.h"
#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::cli};
constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
constexpr size_t kMostJson = 65536;

std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string taken = value != nullptr ? value : "";
  ::unsetenv(name);
  return taken;
}

}  // namespace

FdStore FdStore::of_service() {
  FdStore store;
  store.keeps_ = std::getenv("NOTIFY_SOCKET") != nullptr;
  auto process = take_variable("LISTEN_PID"), count = take_variable("LISTEN_FDS");
  std::istringstream names(take_variable("LISTEN_FDNAMES"));
  if (std::atol(process.c_str()) != ::getpid()) return store;
  int end = kFirst + std::atoi(count.c_str());
  std::string name;
  for (int descriptor = kFirst; descriptor < end && std::getline(names, name, ':'); ++descriptor) {
    ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    store.inherited_.insert_or_assign(name, UniqueFd(descriptor));
  }
  if (!store.inherited_.empty()) kLog.info("descriptors-inherited count={}", store.inherited_.size());
  return store;
}

void FdStore::keep(const std::string& name, int descriptor) const {
  if (keeps_) notify_service_manager("FDSTORE=1\nFDNAME=" + name, descriptor);
}

void FdStore::keep(const std::string& name, const Json& json) const {
  if (!keeps_) return;
  UniqueFd text(::memfd_create("hitfs-kept", MFD_CLOEXEC));
  auto bytes = json.dump();
  if (!text || ::pwrite(text.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return;
  keep(name, text.get());
}

void FdStore::forget(const std::string& name) const {
  if (keeps_) notify_service_manager("FDSTOREREMOVE=1\nFDNAME=" + name);
}

std::vector<std::string> FdStore::names() const {
  std::vector<std::string> all;
  for (const auto& [name, descriptor] : inherited_) all.push_back(name);
  return all;
}

UniqueFd FdStore::take(const std::string& name) {
  auto found = inherited_.extract(name);
  return found ? std::move(found.mapped()) : UniqueFd();
}

std::optional<Json> FdStore::take_json(const std::string& name) {
  auto text = take(name);
  std::string bytes(kMostJson, '\0');
  ssize_t got = text ? ::pread(text.get(), bytes.data(), bytes.size(), 0) : -1;
  if (got <= 0) return std::nullopt;
  auto json = Json::parse(bytes.substr(0, static_cast<size_t>(got)));
  if (!json) return std::nullopt;
  return *std::move(json);
}

void FdStore::forget_rest() {
  for (const auto& [name, descriptor] : inherited_) forget(name);
  inherited_.clear();
}

}  // namespace hitfs
