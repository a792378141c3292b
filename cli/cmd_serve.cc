#include <filesystem>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/supervisor/start.h"

namespace hitfs {

namespace {

std::string absolute(const std::string& path) {
  std::error_code ignored;
  return path.empty() ? "" : std::filesystem::absolute(path, ignored).string();
}

}  // namespace

int cmd_serve(const Context& context) {
  const auto& arguments = context.arguments;
  if (arguments.tls_certificate.empty() != arguments.tls_key.empty()) {
    return context.output.fail({Code::invalid_argument, "--tls-cert and --tls-key belong together"});
  }
  ListenerOptions options;
  options.store = context.config.store;
  options.kind = ListenerKind::serve;
  options.address = arguments.listen;
  options.tokens_file = absolute(arguments.tokens_file);
  options.tls_certificate_file = absolute(arguments.tls_certificate);
  options.tls_key_file = absolute(arguments.tls_key);
  options.allowed_hosts = arguments.hosts;
  options.max_artifact_bytes = context.config.max_artifact_bytes;
  auto task = context.programs.supervisor_options(context.config, {.serve = options, .started = false});
  if (!task) return context.output.fail(task.error());
  if (auto made = make_store_folder(context.config.store); !made) return context.output.fail(made.error());
  auto ended = context.programs.run_supervisor_here(*task);
  return ended ? kDone : context.output.fail(ended.error());
}

}  // namespace hitfs
