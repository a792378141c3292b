#include "cli/repository.h"

#include "store/base/subprocess.h"

namespace hitfs {

GitRepository git_repository(const Context& context) {
  GitRepository repository;
  repository.environment = environment_without(secret_variables(context.config, context.environment));
  return repository;
}

}  // namespace hitfs
