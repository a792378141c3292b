#include "tests/clients/nx_workspace.h"

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace hitfs::testing {

std::optional<std::filesystem::path> nx_modules(const std::string& version) {
  const char* named = std::getenv("HITFS_TEST_TOOLS");
  const std::filesystem::path tools = named != nullptr && *named != '\0' ? named : HITFS_TEST_TOOLS;
  auto modules = tools / ("nx-" + version) / "node_modules";
  if (!std::filesystem::exists(modules / "nx" / "package.json")) return std::nullopt;
  return modules;
}

NxWorkspace::NxWorkspace(std::filesystem::path folder, const std::filesystem::path& modules, int projects)
    : folder_(std::move(folder)), modules_(modules) {
  const Outcome made = run(
      {{"node", HITFS_SOURCE "/tests/clients/make_workspace.js", folder_, modules, std::to_string(projects)}, {}, {}},
      Milliseconds(20000));
  if (made.code != 0) throw std::runtime_error("make_workspace.js: " + made.output);
}

// node_modules becomes a folder of links to what is installed, with the plugin among them.
void NxWorkspace::add_shared_directory_plugin() {
  namespace fs = std::filesystem;
  const fs::path own = folder_ / "node_modules";
  fs::remove(own);
  fs::create_directories(own / "@nx/shared-fs-cache");
  for (const fs::path& from : {modules_, modules_ / "@nx"}) {
    for (const auto& package : fs::directory_iterator(from)) {
      const fs::path name = fs::relative(package.path(), modules_);
      if (name != "@nx") fs::create_symlink(fs::absolute(package.path()), own / name);
    }
  }
  fs::copy_file(HITFS_SOURCE "/tests/clients/nx_shared_directory.js", own / "@nx/shared-fs-cache/index.js");
  std::ofstream(own / "@nx/shared-fs-cache/package.json") << R"({"main": "index.js"})";
}

Command NxWorkspace::nx(std::vector<std::string> arguments) const {
  Command command;
  command.arguments = {folder_ / "node_modules/.bin/nx"};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.arguments.push_back("--output-style=static");
  command.directory = folder_;
  command.environment = {
      {"NX_DAEMON", "false"},
      {"NX_NO_CLOUD", "true"},
      {"NX_TUI", "false"},
      {"NX_INTERACTIVE", "false"},
      {"NO_COLOR", "1"},
      {"NX_CACHE_DIRECTORY", folder_ / ".nx/cache"},
      {"CI", std::nullopt},
      {"FORCE_COLOR", std::nullopt},
      // A proxy of the machine must not stand between two programs on loopback.
      {"HTTP_PROXY", std::nullopt},
      {"http_proxy", std::nullopt},
  };
  return command;
}

}  // namespace hitfs::testing
