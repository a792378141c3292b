#include "cli/git.h"

#include <sstream>
#include <utility>

#include "cli/program.h"

namespace hitfs {

namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What git said, or why it could not; `refused` is the code of an exit code other than 0.
Result<std::string> ask(const GitRepository& repository, std::vector<std::string> words, Code refused) {
  ProgramCall call;
  // No lock: the user's command may be using git at the same moment.
  call.arguments = {"git", "--no-optional-locks"};
  call.arguments.insert(call.arguments.end(), words.begin(), words.end());
  call.environment = repository.environment;
  for (const char* setting : {"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_PAGER=cat"})
    call.environment.emplace_back(setting);
  call.directory = repository.folder;
  call.limit = repository.limit;
  call.most_output = 8 << 20;
  auto end = run_program(call, repository.stop);
  if (!end && end.error().code == Code::not_found) return Error{Code::not_found, "git is not installed"};
  if (!end) return in_context("git " + words.front(), std::move(end).error());
  if (end->exit_code == 0) return std::move(end->output);
  auto said = first_line(end->errors);
  if (said.starts_with("fatal: ")) said.erase(0, 7);
  return Error{refused, said.empty() ? "git " + words.front() + " ended with " + std::to_string(end->exit_code) : said};
}

}  // namespace

Result<std::string> git_commit(const GitRepository& repository, const std::string& revision) {
  // git would take it for an option.
  if (revision.empty() || revision.front() == '-')
    return Error{Code::invalid_argument, "\"" + revision + "\" is no revision"};
  auto said = ask(repository, {"rev-parse", "--verify", "--quiet", revision + "^{commit}"}, Code::not_found);
  if (said) return first_line(*said);
  // With --quiet it says nothing about a name that is not there.
  if (said.error().code != Code::not_found || said.error().message.find("ended with") == std::string::npos) return said;
  return Error{Code::not_found, "git knows no commit \"" + revision + "\" here (was it fetched?)"};
}

Result<bool> git_is_clean(const GitRepository& repository) {
  auto said = ask(repository, {"status", "--porcelain"}, Code::invalid_argument);
  if (!said) return std::move(said).error();
  return said->empty();
}

Result<GitHistory> git_first_parents(const GitRepository& repository, const std::string& revision, size_t most) {
  auto commit = git_commit(repository, revision);
  if (!commit) return std::move(commit).error();
  auto said = ask(repository, {"rev-list", "--first-parent", "--max-count=" + std::to_string(most), *commit},
                  Code::invalid_argument);
  if (!said) return std::move(said).error();
  GitHistory history;
  std::istringstream lines(*said);
  for (std::string line; std::getline(lines, line);) history.commits.push_back(line);
  if (history.commits.size() == most) return history;
  auto shallow = ask(repository, {"rev-parse", "--is-shallow-repository"}, Code::invalid_argument);
  history.cut = shallow && first_line(*shallow) == "true";
  return history;
}

}  // namespace hitfs
