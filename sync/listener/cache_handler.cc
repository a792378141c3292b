#include "sync/listener/cache_handler.h"

#include <algorithm>

#include "store/base/log.h"
#include "sync/listener/cache_lookup.h"
#include "sync/listener/cache_upload.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr std::string_view kPrefix = "/v1/cache/";
constexpr std::string_view kWelcome =
    "hitfs serve: a build cache. Set NX_SELF_HOSTED_REMOTE_CACHE_SERVER to this address (without a slash at its end)\n"
    "and NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN to a token from `hitfs token add`.\n";

HttpReply unknown_token() {
  auto reply = text_reply(401, "this hitfs does not know the access token, or none was sent\n");
  reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  reply.close = true;
  return reply;
}

// What a client takes for "not here" and "not allowed to store" without failing its build.
HttpReply not_here() { return text_reply(404, "not found\n"); }
HttpReply not_taken(std::string_view why) { return text_reply(403, std::string(why) + "\n"); }

HttpReply wrong_method(const std::string& allowed) {
  auto reply = text_reply(405, "only " + allowed + " are spoken here\n");
  reply.headers.emplace_back("Allow", allowed);
  return reply;
}

size_t count_authorization(const HttpHeaders& headers) {
  const auto* first = find_header(headers, "authorization");
  if (!first) return 0;
  return static_cast<size_t>(std::count_if(headers.begin(), headers.end(), [](const auto& header) {
    return find_header({header}, "authorization") != nullptr;
  }));
}

std::optional<Grant> grant_of(const HttpRequest& request, Access& access) {
  if (count_authorization(request.headers) != 1) return std::nullopt;
  auto token = bearer_token(*find_header(request.headers, "authorization"));
  return token ? access.grant(*token) : std::nullopt;
}

bool is_decimal(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_raw_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
           c == '-';
  });
}

}  // namespace

std::string space_of_name(ListenerKind kind, std::string_view name) {
  if (name.size() > 255) return "";
  if (is_decimal(name)) return "nx";
  return kind == ListenerKind::serve && is_raw_name(name) ? "raw" : "";
}

std::unique_ptr<HttpTransaction> CacheHandler::begin(const HttpRequest& request) {
  if (!hosts_.allows(*find_header(request.headers, "host"))) {
    if (!warned_of_host_.exchange(true)) {
      kLog.warn("requests with a foreign Host header are refused; configure the name as allowed if it is yours");
    }
    return answer(not_taken("this Host is not served here"));
  }
  bool reads = request.method == "GET" || request.method == "HEAD";
  if (request.path == "/health") return answer(reads ? text_reply(200, "ok\n") : wrong_method("GET, HEAD"));
  if (reads && request.path == "/" && rules_.kind == ListenerKind::serve) return answer(text_reply(200, kWelcome));
  auto grant = grant_of(request, access_);
  if (!grant) return answer(unknown_token());
  if (!reads && request.method != "PUT") return answer(wrong_method("GET, HEAD, PUT"));
  return cache_request(request, *grant);
}

std::unique_ptr<HttpTransaction> CacheHandler::cache_request(const HttpRequest& request, const Grant& grant) {
  bool ours = request.path.starts_with(kPrefix) && request.query.empty();
  auto name = ours ? request.path.substr(kPrefix.size()) : "";
  auto space = space_of_name(rules_.kind, name);
  bool stores = request.method == "PUT";
  if (space.empty()) {
    kLog.debug("request to no cache path method={}", request.method);
    return answer(stores ? not_taken("the path is not /v1/cache/{hash}") : not_here());
  }
  if (stores) return put(request, space, name, grant);
  return request.method == "GET" ? get(space, name, grant) : head(space, name, grant);
}

std::unique_ptr<HttpTransaction> CacheHandler::get(const std::string& space, const std::string& name,
                                                   const Grant& grant) {
  if (!grant.read) return answer(not_taken("the token has no right to read"));
  std::vector<Key> keys;
  for (const auto& scope : grant.read_scopes) keys.push_back({scope, space, name});
  return look_up(parts_, std::move(keys));
}

std::unique_ptr<HttpTransaction> CacheHandler::head(const std::string& space, const std::string& name,
                                                    const Grant& grant) {
  if (!grant.read) return answer(not_taken("the token has no right to read"));
  for (const auto& scope : grant.read_scopes) {
    if (auto reply = local_artifact(parts_, {scope, space, name})) return answer(*std::move(reply));
  }
  return answer(not_here());
}

std::unique_ptr<HttpTransaction> CacheHandler::put(const HttpRequest& request, const std::string& space,
                                                   const std::string& name, const Grant& grant) {
  if (!grant.write) return answer(not_taken("the token has no right to write"));
  // Without a length a proxy's cut body looks whole; no nx client sends one so.
  if (!request.content_length) return answer(not_taken("a Content-Length is needed"));
  if (*request.content_length > rules_.max_artifact_bytes) {
    kLog.warn("upload refused key={}/{} bytes={}: larger than max_artifact_bytes", space, name,
              *request.content_length);
    return answer(not_taken("the artifact is larger than this cache takes"));
  }
  return upload(parts_, {grant.write_scope, space, name}, *request.content_length);
}

}  // namespace hitfs
