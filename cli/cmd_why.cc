#include <filesystem>
#include <utility>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/key_story.h"
#include "cli/lease.h"
#include "cli/why_task.h"
#include "store/key.h"
#include "store/layout.h"

namespace hitfs {

namespace {

constexpr Milliseconds kAnswerLimit{10000};

// The key of a path below one of our mounts; nothing when it is not.
Result<Key> key_of_path(const std::filesystem::path& path, const Json& mounts, const LayoutOptions& options) {
  for (const auto& mount : mounts.items()) {
    auto relative = path.lexically_relative(mount["path"].text_or(""));
    if (relative.empty() || *relative.begin() == "..") continue;
    auto layout = make_layout(options);
    if (!layout) return std::move(layout).error();
    auto name = relative.begin()->string();
    auto placement = (*layout)->place(name);
    if (placement.name_class == NameClass::entry) return Key::make("", placement.space, placement.name);
    return Error{Code::invalid_argument, name + " is no entry of " + mount["path"].text_or("") +
                                             ": its name does not fit the pattern, so it stays on this machine"};
  }
  return Error{Code::not_found, path.string() + " is below no mount of this store (hitfs status shows them)"};
}

// "nx/123" may be a key as well as a path: below one of our mounts it is a path.
Result<Key> key_asked_for(const Context& context, Lease& lease) {
  const auto& text = context.arguments.key;
  if (text.find('/') == std::string::npos) return Key::parse(text, "flat");
  Json request;
  request["op"] = "status";
  auto status = lease.request(request, kAnswerLimit);
  if (!status) return std::move(status).error();
  std::error_code ignored;
  auto absolute = std::filesystem::absolute(text, ignored).lexically_normal();
  auto of_path = key_of_path(absolute, std::as_const(*status)["mounts"], context.config.layout);
  bool only_path = text.starts_with("/") || text.starts_with(".");
  if (of_path || only_path || of_path.error().code != Code::not_found) return of_path;
  return Key::parse(text, "flat");
}

}  // namespace

int cmd_why(const Context& context) {
  auto lease = Lease::take(context, false);
  if (!lease) return context.output.fail(lease.error());
  if (is_task_name(context.arguments.key)) return why_task(context, *lease, context.arguments.key);
  auto key = key_asked_for(context, *lease);
  if (!key) return context.output.fail(key.error());
  auto story = key_story(lease->daemon(), key->text());
  if (!story) return context.output.fail(story.error());
  context.output.value(*story);
  tell_story(key->text(), *story, context.output);
  return kDone;
}

}  // namespace hitfs
