#include "cli/process_config.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <span>

#include "store/base/io.h"

namespace hitfs {

namespace {

constexpr off_t kMostBytes = 4 << 20;

}  // namespace

Result<UniqueFd> write_process_config(const Json& options) {
  UniqueFd file(::memfd_create("hitfs-options", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return system_error("memfd_create", errno);
  if (auto written = io::write_all(file.get(), io::as_bytes(options.dump()), "options"); !written) {
    return std::move(written).error();
  }
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
    return system_error("seal options", errno);
  }
  return file;
}

Result<Json> read_process_config(int descriptor) {
  UniqueFd file(descriptor);
  struct stat info {};
  if (::fstat(file.get(), &info) < 0) return system_error("--config-fd", errno);
  if (info.st_size > kMostBytes) return Error{Code::invalid_argument, "--config-fd: too large"};
  std::string text(static_cast<size_t>(info.st_size), '\0');
  auto got = io::read_at(file.get(), std::as_writable_bytes(std::span(text)), 0);
  if (!got) return in_context("--config-fd", std::move(got).error());
  auto json = Json::parse(std::string_view(text).substr(0, *got));
  // The text holds secrets: the parser's message might quote them.
  if (!json) return Error{Code::invalid_argument, "--config-fd: not the JSON that hitfs writes"};
  return json;
}

}  // namespace hitfs
