#include "tests/support/git_repository.h"

#include <fstream>
#include <stdexcept>

namespace hitfs::testing {
namespace {

constexpr Milliseconds kLimit{60000};

std::string run_git(const std::filesystem::path& folder, std::vector<std::string> arguments) {
  Command command;
  command.arguments = {"git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "gc.auto=0"};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.environment = {{"GIT_CONFIG_GLOBAL", "/dev/null"}, {"GIT_CONFIG_NOSYSTEM", "1"}, {"GIT_DIR", std::nullopt}};
  command.directory = folder;
  auto done = run(command, kLimit);
  if (done.code != 0) throw std::runtime_error("git " + arguments.front() + ": " + done.output);
  while (!done.output.empty() && done.output.back() == '\n') done.output.pop_back();
  return done.output;
}

}  // namespace

GitRepository::GitRepository(std::filesystem::path folder) : folder_(std::move(folder)) {
  std::filesystem::create_directories(folder_);
  git({"init", "--quiet", "--initial-branch=main"});
}

GitRepository::GitRepository(std::filesystem::path folder, const GitRepository& from, int depth)
    : folder_(std::move(folder)) {
  std::vector<std::string> words{"clone", "--quiet"};
  if (depth > 0) words.push_back("--depth=" + std::to_string(depth));
  words.push_back("file://" + from.folder().string());
  words.push_back(folder_);
  std::filesystem::create_directories(folder_.parent_path());
  run_git(folder_.parent_path(), words);
}

void GitRepository::write(const std::string& name, const std::string& text) const {
  std::filesystem::create_directories((folder_ / name).parent_path());
  std::ofstream(folder_ / name) << text;
}

std::string GitRepository::commit(const std::string& message) const {
  git({"add", "--all"});
  git({"commit", "--quiet", "--allow-empty", "--message", message});
  return git({"rev-parse", "HEAD"});
}

std::string GitRepository::git(std::vector<std::string> arguments) const {
  return run_git(folder_, std::move(arguments));
}

}  // namespace hitfs::testing
