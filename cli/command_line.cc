#include <fmt/core.h>

#include <cstdio>
#include <utility>

#include "cli/context.h"
#include "cli/exit_codes.h"

namespace hitfs {

namespace {

struct Command {
  std::string_view name;
  int (*run)(const Context&);
};

constexpr Command kCommands[] = {{"run", cmd_run},         {"start", cmd_start},      {"stop", cmd_stop},
                                 {"serve", cmd_serve},     {"mount", cmd_mount},      {"unmount", cmd_unmount},
                                 {"status", cmd_status},   {"flush", cmd_flush},      {"prewarm", cmd_prewarm},
                                 {"why", cmd_why},         {"get", cmd_get},          {"put", cmd_put},
                                 {"verify", cmd_verify},   {"init", cmd_init},        {"config", cmd_config},
                                 {"token add", cmd_token}, {"token list", cmd_token}, {"token revoke", cmd_token}};

}  // namespace

int run_command_line(int count, const char* const* values, const Programs& programs) {
  auto parsed = parse_arguments(count, values);
  if (const auto* end = std::get_if<ArgumentsEnd>(&parsed)) {
    fmt::print(end->exit_code == kDone ? stdout : stderr, "{}", end->text);
    return end->exit_code;
  }
  const auto& arguments = std::get<Arguments>(parsed);
  Output output(arguments.json);
  auto sources = ConfigSources::of_process();
  sources.flags = arguments.settings;
  if (arguments.config_file) sources.only_file = arguments.config_file;
  auto config = load_config(sources);
  if (!config) {
    if (arguments.command == "run" && arguments.require.empty()) {
      return cmd_run_without_cache(arguments.words, config.error().message);
    }
    // What is wrong may be the very file that is to be written anew.
    if (arguments.command != "init") {
      output.fail(config.error());
      return kConfiguration;
    }
    output.note(config.error().message);
    config = Config{};
  }
  for (const auto& warning : config->warnings) output.note(warning);
  // A command speaks for itself; its parts only when something is wrong, or when asked.
  log::set_level(config->log_level == log::Level::info ? log::Level::warn : config->log_level);
  Context context{arguments, *config, sources.environment, programs, output};
  for (const auto& command : kCommands) {
    if (command.name == arguments.command) return command.run(context);
  }
  return kUsage;
}

}  // namespace hitfs
