#include <fmt/core.h>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/settings.h"
#include "store/base/url.h"

namespace hitfs {

int cmd_config(const Context& context) {
  Json json;
  for (const auto& one : context.config.effective) {
    auto value = one.key == "remote" ? redact_url(one.value) : one.value;
    Json setting;
    setting["value"] = value;
    setting["origin"] = one.origin;
    json["settings"][one.key] = setting;
    context.output.line(fmt::format("{:<22} {:<28} {}", one.key, value.empty() ? "-" : value, one.origin));
  }
  Json::Array secrets;
  for (const auto& name : secret_variables(context.config, context.environment)) {
    if (!context.environment.contains(name)) continue;
    secrets.emplace_back(name);
    context.output.line(fmt::format("{:<22} {:<28} environment {}", "token", "set", name));
  }
  json["secrets_set"] = std::move(secrets);
  Json::Array warnings;
  for (const auto& warning : context.config.warnings) warnings.emplace_back(warning);
  json["warnings"] = std::move(warnings);
  context.output.value(json);
  return kDone;
}

}  // namespace hitfs
