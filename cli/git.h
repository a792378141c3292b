#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/result.h"

// What hitfs asks git: which commit is this, is the work tree clean, what came before. git is called as a program,
// within limits, without taking its locks and without asking anybody for anything.
namespace hitfs {

struct GitRepository {
  std::filesystem::path folder;          // anywhere in the work tree
  std::vector<std::string> environment;  // for git; without secrets
  Milliseconds limit{10'000};            // of each question
  std::stop_token stop;                  // ends a question
};

// Errors, each with what it costs: `not_found` when git is not installed or the folder is in no work tree,
// `unavailable` when git took too long, `invalid_argument` when git refuses.

// The full name of the commit that `revision` means; `not_found` for one that is not there.
Result<std::string> git_commit(const GitRepository& repository, const std::string& revision);
// Whether the work tree is what HEAD says: nothing changed, nothing new beside what .gitignore names.
Result<bool> git_is_clean(const GitRepository& repository);

struct GitHistory {
  std::vector<std::string> commits;  // the revision, its first parent, and so on
  bool cut = false;                  // a shallow clone ends before `most`
};
Result<GitHistory> git_first_parents(const GitRepository& repository, const std::string& revision, size_t most);

}  // namespace hitfs
