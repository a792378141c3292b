#include "sync/remotes/nx_remote.h"

namespace hitfs {

namespace {

// A server checks and stores a whole upload before it answers; nobody waits for that.
constexpr int kUploadAnswerFactor = 6;
// When a server says "slow down" without saying for how long.
constexpr Milliseconds kUnnamedPause{1'000};

// Why an answer with this status is no success; `method` tells a refused upload from a refused lookup.
Error refusal(const HttpAnswer& answer, RemoteCall& call) {
  auto status = "the server answered " + std::to_string(answer.status);
  switch (answer.status) {
    case 401: return {Code::permission_denied, status + ": the token is missing or wrong"};
    case 403: return {Code::permission_denied, status + ": the token does not allow this"};
    case 407: return {Code::permission_denied, status + ": the proxy wants credentials"};
    case 413: return {Code::no_space, status + ": the entry is too large for it"};
    case 507: return {Code::no_space, status + ": its storage is full"};
    case 429:
    case 503:
      call.trouble = Trouble::paced;
      call.retry_after = answer.retry_after.value_or(kUnnamedPause);
      return {Code::unavailable,
              status + ": it asks for a pause of " + std::to_string(call.retry_after->count()) + " ms"};
    default: break;
  }
  if (answer.status >= 500 || answer.status == 408 || answer.status == 425) return {Code::unavailable, status};
  return {Code::invalid_argument, status + ": is this the URL of an Nx cache server?"};
}

// Whether the body of a 200 can be what was stored.
Status check_body(const HttpAnswer& answer, const RemoteKey& key) {
  if (!answer.framed) return Error{Code::corrupt, "the answer has neither length nor chunks: a cut would go unseen"};
  if (answer.content_type.starts_with("text/html")) {
    return Error{Code::corrupt, "the server sent a page (text/html), not an entry"};
  }
  // An Nx artifact is checked by its own format whatever a server calls it; bytes of ours must come as they went.
  bool encoded = !answer.content_encoding.empty() && answer.content_encoding != "identity";
  if (encoded && !key.plain)
    return Error{Code::corrupt, "the server re-coded the body (" + answer.content_encoding + ")"};
  return Ok{};
}

}  // namespace

NxRemote::NxRemote(NxRemoteOptions options) : options_(std::move(options)), client_(options_.http) {
  auto& path = options_.url.path;
  while (path.ends_with('/')) path.pop_back();
}

std::string NxRemote::describe() const { return "nx+" + options_.url.text(); }

Result<HttpQuestion> NxRemote::question(std::string method, const RemoteKey& key) const {
  bool bad = key.name.empty() || key.name.size() > 255 || key.name == "." || key.name == ".." ||
             key.name.find_first_of(std::string_view("/\0", 2)) != std::string::npos;
  if (bad) return Error{Code::invalid_argument, "'" + percent_encode(key.name) + "' is no name for an entry"};
  HttpQuestion question;
  question.method = std::move(method);
  question.url = options_.url;
  question.url.path += "/v1/cache/" + percent_encode(key.name);
  question.authorization = options_.authorization;
  question.headers = {"Accept: application/octet-stream", "Content-Type: application/octet-stream"};
  return question;
}

Status NxRemote::fetch(const RemoteKey& key, EntryWriter& out, RemoteCall& call) {
  auto ask = question("GET", key);
  if (!ask) return std::move(ask).error();
  auto on_head = [&](const HttpAnswer& answer) -> Result<ByteSink*> {
    if (answer.status != 200) return nullptr;
    if (auto checked = check_body(answer, key); !checked) return std::move(checked).error();
    return out.artifact(answer.length);
  };
  auto answer = client_.ask(*ask, on_head, call);
  if (!answer) return std::move(answer).error();
  if (answer->status == 200) return Ok{};
  if (answer->status == 404) return Error{Code::not_found, "not on " + describe()};
  return in_context("GET " + ask->url.text(), refusal(*answer, call));
}

Result<StoreResult> NxRemote::store(const RemoteKey& key, EntryReader& entry, RemoteCall& call) {
  auto ask = question("PUT", key);
  if (!ask) return std::move(ask).error();
  ask->body = [&entry] { return entry.artifact(); };
  ask->answer_limit = options_.http.patience.first_byte * kUploadAnswerFactor;
  auto ignore_body = [](const HttpAnswer&) -> Result<ByteSink*> { return nullptr; };
  auto answer = client_.ask(*ask, ignore_body, call);
  if (!answer) return std::move(answer).error();
  switch (answer->status) {
    case 200:
    case 201:
    case 202:
    case 204: return StoreResult::stored;
    case 409:
    case 412: return StoreResult::already_there;
    default: return in_context("PUT " + ask->url.text(), refusal(*answer, call));
  }
}

Result<bool> NxRemote::contains(const RemoteKey& key, RemoteCall& call) {
  auto ask = question("GET", key);
  if (!ask) return std::move(ask).error();
  auto ignore_body = [](const HttpAnswer&) -> Result<ByteSink*> { return nullptr; };
  auto answer = client_.ask(*ask, ignore_body, call);
  if (!answer) return std::move(answer).error();
  if (answer->status == 200) return true;
  if (answer->status == 404) return false;
  return in_context("GET " + ask->url.text(), refusal(*answer, call));
}

Status NxRemote::remove(const RemoteKey& key, RemoteCall& call) {
  auto ask = question("DELETE", key);
  if (!ask) return std::move(ask).error();
  auto ignore_body = [](const HttpAnswer&) -> Result<ByteSink*> { return nullptr; };
  auto answer = client_.ask(*ask, ignore_body, call);
  if (!answer) return std::move(answer).error();
  if (answer->status >= 200 && answer->status < 300) return Ok{};
  auto doing = "DELETE " + ask->url.text();
  if (answer->status == 404 || answer->status == 405 || answer->status == 501) {
    return Error{Code::invalid_argument,
                 doing + ": this server cannot remove entries; remove it there"};
  }
  return in_context(doing, refusal(*answer, call));
}

}  // namespace hitfs
