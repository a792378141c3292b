// Configuration. The first byte of an input says whose it is: 0 the file of a workspace (whoever opens a pull request
// writes it: it must not take more than it may), 1 the user's own file, 2 variables of the environment, a line each.
#include <cstdint>
#include <string>

#include "cli/config.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_dir.h"

namespace hitfs {
namespace {

using fuzz::Input;
using fuzz::promise;
using fuzz::value_of;

constexpr std::string_view kSecret = "s3cr3t-of-the-user";

struct Machine {
  Machine() {
    std::filesystem::create_directories(folder / "home/.config/hitfs");
    std::filesystem::create_directories(folder / "work");
    sources.home = (folder / "home").string();
    sources.working_directory = folder / "work";
    sources.system_file = folder / "etc.toml";
    sources.environment = {{"HITFS_TOKEN", std::string(kSecret)}, {"CI", "1"}};
  }
  void write(const std::filesystem::path& path, std::string_view text) {
    auto file = value_of(io::create(path, "fuzz", {.mode = 0600, .exclusive = false}), "the file can be made");
    value_of(io::write_all_at(file.get(), io::as_bytes(text), 0, "fuzz"), "the file can be written");
  }

  testing::TempDir folder;
  std::filesystem::path workspace_file = folder / "work/.hitfs.toml";
  std::filesystem::path user_file = folder / "home/.config/hitfs/config.toml";
  ConfigSources sources;
};

Machine& machine() {
  static Machine one;
  return one;
}

// README.md, Configuration: what a file in a workspace cannot do.
void check_workspace(const Config& config) {
  promise(config.token_command.empty() && config.on_push_failed.empty(), "a workspace names no command");
  promise(config.token_file.empty(), "nor a file to read a token from");
  promise(config.remotes.empty(), "nor a server while there is a token to send");
  promise(config.remote_defaults.verify_tls && !config.remote_defaults.allow_insecure_token, "TLS stays what it is");
  promise(config.remote_defaults.ca_file.empty(), "and so do its roots");
  promise(config.store.root == machine().folder / "home/.cache/hitfs", "the store stays where it is");
  auto remotes = value_of(resolve_remotes(config, machine().sources.environment), "there is nothing to resolve");
  promise(remotes.empty(), "no token goes anywhere");
}

void check(const Config& config, bool of_workspace) {
  if (of_workspace) check_workspace(config);
  promise(!config.effective.empty(), "every key is reported");
  for (const auto& one : config.effective) promise(!one.key.empty() && !one.origin.empty(), "with its origin");
  promise(config.layout.pattern.size() <= 1024, "a pattern is bounded");
  for (const auto& remote : config.remotes) promise(!remote.options.url.empty(), "a remote has a URL");
}

void variables(Input& input, ConfigSources& sources) {
  while (!input.empty()) {
    auto line = input.line();
    auto equals = std::min(line.find('='), line.size());
    std::string value(line.substr(std::min(equals + 1, line.size())));
    sources.environment[std::string(line.substr(0, equals))] = value;
  }
}

}  // namespace
}  // namespace hitfs

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  hitfs::log::set_level(hitfs::log::Level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs;
  fuzz::Input input(data, size);
  auto how = input.number<uint8_t>() % 3;
  auto& machine = hitfs::machine();
  auto sources = machine.sources;
  if (how == 2) variables(input, sources);
  auto text = input.all();
  machine.write(machine.workspace_file, how == 0 ? text : "");
  machine.write(machine.user_file, how == 1 ? text : "");
  auto config = load_config(sources);
  if (config) {
    check(*config, how == 0);
  } else {
    fuzz::promise(!config.error().message.empty(), "an error says something");
    // Unless the input has it as well, which libFuzzer tries when it sees the comparison.
    bool quoted = text.find(kSecret) != std::string_view::npos || how == 2;
    fuzz::promise(quoted || config.error().message.find(kSecret) == std::string::npos, "and no secret");
  }
  return 0;
}
