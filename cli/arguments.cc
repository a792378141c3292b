#include "cli/arguments.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/settings.h"
#include "cli/units.h"

#ifndef HITFS_VERSION
#define HITFS_VERSION "unknown"
#endif

namespace hitfs {

namespace {

constexpr const char* kAbout =
    "hitfs keeps a build cache on this machine and in step with a server.\n"
    "Tools reach it as a folder (hitfs mount) or over HTTP (hitfs run, hitfs start).";

constexpr const char* kStart =
    "Start here:\n"
    "  hitfs run -- npx nx run-many -t build        one command with a cache, nothing left behind\n"
    "  hitfs run --remote nx+https://cache.example.com -- npx nx build\n"
    "                                               in step with a server; its token in HITFS_TOKEN\n"
    "  hitfs mount ~/cache                          a folder whose hash-named entries are kept and shared\n"
    "  hitfs serve --listen 0.0.0.0:8080 --tokens tokens.json\n"
    "                                               the server for a team\n"
    "\n"
    "A cache problem never fails a build: every fault is a miss. `hitfs status` shows what works and what does not.\n"
    "Every setting can also stand in ~/.config/hitfs/config.toml or in the environment (--max-size is "
    "HITFS_MAX_SIZE);\n"
    "`hitfs config` shows what holds and where it comes from.";

// Help of one command: what it does and an example.
struct Command {
  const char* name;
  const char* about;
  const char* example;
};

constexpr Command kCommands[] = {
    {"run", "Run a command with the cache",
     "hitfs run -- npx nx run-many -t build\n  hitfs run --mount .cache --pattern '[0-9a-f]{64}' -- make\n\n"
     "Returns the command's exit code. When hitfs cannot start, the command runs all the same, without a cache."},
    {"start", "Start the cache for the next steps of a job",
     "hitfs start >> \"$GITHUB_ENV\"   (or just `hitfs start` there: it knows that file)\n  eval \"$(hitfs start | sed "
     "'s/^/export /')\""},
    {"stop", "Upload what is left, then end everything", "hitfs stop --flush 60s"},
    {"serve", "Be a cache server for a team, in the foreground",
     "hitfs token add --tokens tokens.json --name ci --rights read,write\n  hitfs serve --listen 0.0.0.0:8080 --tokens "
     "tokens.json"},
    {"mount", "Show the cache as a folder",
     "hitfs mount ~/cache\n  hitfs mount .cache --pattern '[0-9a-f]{40}' --complete marker:DONE"},
    {"unmount", "Take such a folder away; the last one ends hitfs", "hitfs unmount ~/cache"},
    {"status", "Show what works, what is kept and what waits", "hitfs status\n  hitfs status --json --follow"},
    {"flush", "Wait until everything is uploaded", "hitfs flush --flush 5m"},
    {"prewarm", "Pull what the last build of the branch needed, before anybody asks",
     "hitfs prewarm                       the nearest commit that has a run list\n"
     "  hitfs prewarm --base origin/main --max-bytes 2GB --max-time 1m\n"
     "  hitfs prewarm - < keys               named ones, one per line"},
    {"why", "Tell what happened to an entry or a task",
     "hitfs why nx/16753371117218787125\n  hitfs why ~/cache/1f3a5c\n  hitfs why lib-a:build"},
    {"get", "Write an entry to a file or folder", "hitfs get --namespace flat 1f3a5c ./result"},
    {"put", "Keep a file or folder as an entry", "hitfs put --namespace flat 1f3a5c ./dist"},
    {"verify", "Check every byte of the store; damaged entries are pulled again",
     "hitfs verify\n  hitfs verify nx/123"},
    {"init", "Write .hitfs.toml for an Nx workspace", "hitfs init --print   (shows it)\n  hitfs init"},
    {"config", "Show every setting and where it comes from", "hitfs config"},
    {"token", "Manage the tokens of a server", "hitfs token add --tokens tokens.json --name ci --rights read,write"},
};

class Parser {
 public:
  Parser();
  std::variant<Arguments, ArgumentsEnd> parse(std::vector<std::string> words);

 private:
  CLI::App* command(const char* name) { return app_.get_subcommand(name); }
  void add_settings();
  void add_run();
  void add_mounting();
  void add_entries();
  void add_prewarm();
  void add_service();
  void add_token();
  void collect();

  CLI::App app_{kAbout, "hitfs"};
  Arguments arguments_;
  std::map<std::string, std::vector<std::string>> given_;
  std::string config_file_;
};

Parser::Parser() {
  app_.footer(kStart);
  app_.set_version_flag("--version", std::string("hitfs ") + HITFS_VERSION);
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.get_formatter()->column_width(34);
  app_.add_flag("--json", arguments_.json, "answer as JSON");
  app_.add_option("--config", config_file_, "read this file instead of the system's and yours")->type_name("FILE");
  for (const auto& one : kCommands) {
    app_.add_subcommand(one.name, one.about)->footer(std::string("Example:\n  ") + one.example)->fallthrough();
  }
  add_settings();
  add_run();
  add_mounting();
  add_entries();
  add_prewarm();
  add_service();
  add_token();
}

void Parser::add_settings() {
  for (const auto& spec : settings()) {
    std::string help(spec.help);
    if (!spec.standard.empty()) help += fmt::format(" [{}]", spec.standard);
    auto* option = app_.add_option("--" + std::string(spec.name), given_[std::string(spec.name)], help);
    option->group("Settings")->type_name("")->expected(1)->allow_extra_args(false);
    option->multi_option_policy(spec.list ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
  }
}

void Parser::add_run() {
  auto* run = command("run");
  run->add_option("--mount", arguments_.mount_point, "show the cache as this folder while the command runs")
      ->type_name("DIR");
  run->add_option("--name", arguments_.name, "name of that mount [its path]");
  run->add_option("--require", arguments_.require, "do not run without it: mount or endpoint")
      ->check(CLI::IsMember({"mount", "endpoint"}));
  // The same as --run-list always.
  for (auto* one : {run, command("start")}) {
    one->add_flag_callback(
        "--list-dirty", [this] { given_["run-list"] = {"always"}; },
        "publish the run list though the work tree has changes");
  }
  run->add_option("command", arguments_.words, "the command and its arguments, after --")->type_name("COMMAND...");
  run->positionals_at_end();
}

void Parser::add_mounting() {
  auto* mount = command("mount");
  mount->add_option("dir", arguments_.mount_point, "where; made when it is missing")->required()->type_name("DIR");
  mount->add_option("--name", arguments_.name, "what belongs to the mount is kept under this name [its path]");
  mount->add_flag("--allow-other", arguments_.allow_other, "other users may see it");
  mount->add_flag("--force", arguments_.force, "also over a folder that is not empty");
  command("unmount")->add_option("dir", arguments_.mount_point, "where")->required()->type_name("DIR");
}

void Parser::add_entries() {
  for (const char* name : {"put", "get"}) {
    auto* one = command(name);
    one->add_option("--namespace", arguments_.space, "whose entry [flat]")->type_name("NS");
    one->add_option("name", arguments_.name, "the hash")->required()->type_name("NAME");
    one->add_option("path", arguments_.path, "file or folder")->required()->type_name("PATH");
  }
  auto* init = command("init");
  init->add_flag("--force", arguments_.force, "overwrite the file that is there");
  init->add_flag("--print", arguments_.print, "show it, write nothing");
  command("why")
      ->add_option("key", arguments_.key, "NAMESPACE/NAME, a name, a path in a mount, or a task (lib-a:build)")
      ->required();
  command("verify")->add_option("key", arguments_.key, "only this entry");
  command("status")->add_flag("--follow", arguments_.follow, "go on: a line for everything that happens");
}

void Parser::add_prewarm() {
  auto* prewarm = command("prewarm");
  prewarm->add_option("--base", arguments_.base, "look for a run list from here on [HEAD]")->type_name("REV");
  prewarm->add_option("--max-bytes", given_["prewarm-max-bytes"], "as --prewarm-max-bytes")->type_name("");
  prewarm->add_option("--max-time", given_["prewarm-max-time"], "as --prewarm-max-time")->type_name("");
  prewarm->add_option("key", arguments_.words, "NAMESPACE/NAME or a name; - reads them from standard input")
      ->type_name("KEY...");
}

void Parser::add_service() {
  command("start")->add_flag("--foreground", arguments_.foreground, "stay, as a service does");
  command("stop")->add_flag("--failed", arguments_.failed, "the build failed: a prewarm looks past its run list");
  auto* serve = command("serve");
  serve->add_option("--listen", arguments_.listen, "HOST:PORT [127.0.0.1:8080]");
  serve->add_option("--tokens", arguments_.tokens_file, "who may read and write (hitfs token)")
      ->required()
      ->type_name("FILE");
  serve->add_option("--tls-cert", arguments_.tls_certificate, "certificate chain (PEM)")->type_name("FILE");
  serve->add_option("--tls-key", arguments_.tls_key, "its key (PEM)")->type_name("FILE");
  serve->add_option("--host", arguments_.hosts, "a further Host header that is accepted; repeatable");
}

void Parser::add_token() {
  auto* token = command("token");
  token->require_subcommand(1);
  auto add_common = [&](CLI::App* one) {
    one->fallthrough();
    one->add_option("--tokens", arguments_.tokens_file, "the file")->required()->type_name("FILE");
  };
  auto* add = token->add_subcommand("add", "Make a token and print it, once");
  add->add_option("--name", arguments_.name, "whose it is")->required();
  add->add_option("--rights", arguments_.rights, "read, write or both with a comma [read]")->delimiter(',');
  add->add_option("--read-scopes", arguments_.read_scopes, "scopes that it may read, with commas")->delimiter(',');
  add->add_option("--write-scope", arguments_.write_scope, "the scope that it writes");
  add_common(add);
  add_common(token->add_subcommand("list", "Show names and rights"));
  auto* revoke = token->add_subcommand("revoke", "Take a token away");
  revoke->add_option("--name", arguments_.name, "whose")->required();
  add_common(revoke);
}

void Parser::collect() {
  auto* chosen = app_.get_subcommands().front();
  arguments_.command = chosen->get_name();
  if (!chosen->get_subcommands().empty()) arguments_.command += " " + chosen->get_subcommands().front()->get_name();
  if (!config_file_.empty()) arguments_.config_file = config_file_;
  std::error_code ignored;
  auto folder = std::filesystem::current_path(ignored);
  for (const auto& [key, values] : given_) {
    if (!values.empty()) arguments_.settings.push_back({key, values, "--" + key, folder});
  }
}

std::variant<Arguments, ArgumentsEnd> Parser::parse(std::vector<std::string> words) {
  // What stands after "--" is the command of `run`, with whatever options of its own.
  auto dashes = std::find(words.begin(), words.end(), "--");
  std::vector<std::string> after;
  if (dashes != words.end()) after.assign(dashes + 1, words.end());
  words.erase(dashes, words.end());
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app_.parse(words);
  } catch (const CLI::ParseError& end) {
    std::ostringstream out, error;
    int code = app_.exit(end, out, error);
    if (code == 0) return ArgumentsEnd{kDone, out.str()};
    return ArgumentsEnd{kUsage, fmt::format("hitfs: {}\n", end.what())};
  }
  collect();
  if (!after.empty() && arguments_.command != "run") {
    return ArgumentsEnd{kUsage, "hitfs: only `hitfs run` takes a command after --\n"};
  }
  arguments_.words.insert(arguments_.words.end(), after.begin(), after.end());
  if (arguments_.command == "run" && arguments_.words.empty()) {
    return ArgumentsEnd{kUsage, "hitfs: run: name the command, as in `hitfs run -- make`\n"};
  }
  return std::move(arguments_);
}

// CLI11 says "The following argument was not expected: statsu"; people want the nearest word.
std::optional<ArgumentsEnd> unknown_command(const std::vector<std::string>& words) {
  if (words.empty() || words.front().starts_with("-")) return std::nullopt;
  std::vector<std::string> known;
  for (const auto& one : kCommands) known.emplace_back(one.name);
  if (std::find(known.begin(), known.end(), words.front()) != known.end()) return std::nullopt;
  auto near = nearest(words.front(), known);
  auto hint = near.empty() ? std::string("`hitfs --help` lists them") : "did you mean " + near + "?";
  return ArgumentsEnd{kUsage, fmt::format("hitfs: there is no command \"{}\": {}\n", words.front(), hint)};
}

}  // namespace

std::variant<Arguments, ArgumentsEnd> parse_arguments(int count, const char* const* values) {
  std::vector<std::string> words(values + std::min(count, 1), values + count);
  if (words.empty()) words.emplace_back("--help");
  if (auto unknown = unknown_command(words)) return *unknown;
  return Parser().parse(std::move(words));
}

}  // namespace hitfs
