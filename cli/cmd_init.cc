#include <filesystem>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/nx/init_plan.h"
#include "cli/nx/nx_workspace.h"
#include "store/base/io.h"

namespace hitfs {

namespace {

Result<InitPlan> plan_for(const Context& context, const NxWorkspace& workspace) {
  auto json = read_nx_json(workspace);
  if (!json) return std::move(json).error();
  bool common = !context.config.token_file.empty() || !context.config.token_command.empty();
  return plan_init({std::move(*json), context.environment, common});
}

Status write_file(const std::filesystem::path& path, const std::string& text, bool force) {
  std::error_code failure;
  bool there = std::filesystem::symlink_status(path, failure).type() != std::filesystem::file_type::not_found;
  if (there && !force) {
    return Error{Code::invalid_argument,
                 path.string() + " is there already: --force overwrites it, --print shows what would be written"};
  }
  return io::replace_file(path, io::as_bytes(text), "workspace file", 0644);
}

// Printed, the text is all that standard output gets.
void print(const Output& output, const InitPlan& plan) {
  output.line(plan.file.substr(0, plan.file.size() - 1));
  for (const auto& note : plan.notes) output.note(note);
}

void tell(const Output& output, const InitPlan& plan, const std::filesystem::path& path) {
  output.line("wrote " + path.string());
  for (const auto& note : plan.notes) output.line(note);
  output.line("Next: hitfs run -- npx nx run-many -t build");
}

Json json_of(const InitPlan& plan, const std::filesystem::path& path, bool written) {
  Json json;
  json["file"] = path.string();
  json["written"] = written;
  json["text"] = plan.file;
  json["notes"] = Json::Array(plan.notes.begin(), plan.notes.end());
  return json;
}

}  // namespace

int cmd_init(const Context& context) {
  std::error_code failure;
  auto workspace = find_nx_workspace(std::filesystem::current_path(failure));
  if (!workspace) {
    return context.output.fail(
        {Code::not_found, "there is no nx.json here or in a folder above: `hitfs init` is for Nx workspaces"});
  }
  auto plan = plan_for(context, *workspace);
  if (!plan) return context.output.fail(plan.error());
  auto path = workspace->root / ".hitfs.toml";
  bool print_only = context.arguments.print;
  if (!print_only) {
    if (auto written = write_file(path, plan->file, context.arguments.force); !written) {
      return context.output.fail(written.error());
    }
  }
  context.output.value(json_of(*plan, path, !print_only));
  if (context.output.json()) return kDone;
  if (print_only) {
    print(context.output, *plan);
  } else {
    tell(context.output, *plan, path);
  }
  return kDone;
}

}  // namespace hitfs
