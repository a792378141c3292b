#include <fmt/core.h>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "sync/listener/token_file.h"

namespace hitfs {

namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

int add(const Context& context) {
  const auto& arguments = context.arguments;
  auto rights = parse_rights(arguments.rights.empty() ? "read" : joined(arguments.rights));
  if (!rights) return context.output.fail(in_context("--rights", std::move(rights).error()));
  NewToken wanted{arguments.name, *rights, {""}, arguments.write_scope};
  if (!arguments.read_scopes.empty()) wanted.read_scopes = arguments.read_scopes;
  auto token = add_token(arguments.tokens_file, wanted);
  if (!token) return context.output.fail(token.error());
  Json json;
  json["name"] = arguments.name;
  json["token"] = *token;
  context.output.value(json);
  context.output.line(*token);
  context.output.note("this is the only time the token is shown; the file keeps its hash");
  return kDone;
}

int list(const Context& context) {
  auto tokens = list_tokens(context.arguments.tokens_file);
  if (!tokens) return context.output.fail(tokens.error());
  Json::Array all;
  for (const auto& token : *tokens) {
    std::string rights = token.read && token.write ? "read,write"
                         : token.write             ? "write"
                         : token.read              ? "read"
                                                   : "none";
    Json one;
    one["name"] = token.name;
    one["rights"] = rights;
    one["write_scope"] = token.write_scope;
    one["created"] = token.created;
    all.push_back(std::move(one));
    context.output.line(fmt::format("{:<24} {:<12} {}", token.name, rights, token.created));
  }
  context.output.value(all);
  return kDone;
}

int revoke(const Context& context) {
  auto revoked = revoke_token(context.arguments.tokens_file, context.arguments.name);
  if (!revoked) return context.output.fail(revoked.error());
  Json json;
  json["revoked"] = context.arguments.name;
  context.output.value(json);
  context.output.line("revoked " + context.arguments.name);
  return kDone;
}

}  // namespace

int cmd_token(const Context& context) {
  if (context.arguments.command == "token add") return add(context);
  if (context.arguments.command == "token list") return list(context);
  return revoke(context);
}

}  // namespace hitfs
