#include "sync/remotes/remote_factory.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "store/base/log.h"
#include "store/base/url.h"
#include "store/key.h"
#include "sync/remotes/file_remote.h"
#include "sync/remotes/nx_remote.h"
#include "sync/remotes/tls_roots.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr std::string_view kKnown = "this version knows nx+https://, nx+http:// and file://";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

Error wrong(const RemoteOptions& options, const std::string& why) {
  auto shown = redact_url(options.url);
  auto named = options.name.empty() || options.name == shown ? shown : options.name + " (" + shown + ")";
  return {Code::invalid_argument, "remote " + named + ": " + why};
}

std::string basic(const std::string& user, const std::string& password) {
  auto plain = user + ":" + password;
  std::string encoded((plain.size() + 2) / 3 * 4 + 1, '\0');
  int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                             reinterpret_cast<const unsigned char*>(plain.data()), static_cast<int>(plain.size()));
  encoded.resize(static_cast<size_t>(size));
  return "Basic " + encoded;
}

// The Authorization header: the token, or what stands before '@' in the URL ("user:password", or a token alone).
Result<std::string> authorization_of(const RemoteOptions& options, const Url& url) {
  bool in_url = !url.user.empty() || url.has_password;
  if (in_url && !options.token.empty()) {
    return wrong(options, "it has a token and credentials in its URL; leave one of them out");
  }
  if (url.has_password) return basic(url.user, url.password);
  const auto& token = in_url ? url.user : options.token;
  if (token.empty()) return std::string();
  if (!std::all_of(token.begin(), token.end(), [](unsigned char c) { return c > ' ' && c < 0x7f; })) {
    return wrong(options, "its token has a space, a line break or another character that no token has");
  }
  return "Bearer " + token;
}

Result<std::unique_ptr<Remote>> open_nx(const RemoteOptions& options, Url url, const Patience& patience,
                                        const RemoteEnvironment& environment) {
  if (!url.query.empty()) return wrong(options, "the URL of an Nx cache server has no query ('?')");
  auto authorization = authorization_of(options, url);
  if (!authorization) return std::move(authorization).error();
  bool in_clear = url.scheme == "http" && !url.is_loopback();
  if (in_clear && !authorization->empty() && !options.allow_insecure_token) {
    return wrong(options,
                 "its token would travel in clear text to another machine; use nx+https://, or allow it with "
                 "allow_insecure_token = true");
  }
  auto roots = joined_roots(options.ca_file, environment.extra_ca_file);
  if (!roots) return wrong(options, roots.error().message);
  NxRemoteOptions made{std::move(url), *std::move(authorization), {}};
  made.http.patience = patience;
  made.http.root_certificates = *std::move(roots);
  made.http.verify_tls = options.verify_tls && environment.verify_tls;
  made.http.http_proxy = environment.http_proxy;
  if (!made.http.verify_tls && made.url.scheme == "https") {
    kLog.warn("remote={} certificates are not checked: anybody on the way can change what it sends", made.url.text());
  }
  return std::unique_ptr<Remote>(std::make_unique<NxRemote>(std::move(made)));
}

Result<std::unique_ptr<Remote>> open_file(const RemoteOptions& options, const Url& url, const Patience& patience) {
  if (!url.host.empty() && url.host != "localhost") {
    return wrong(options, "a shared drive is named by where it is mounted here: file:///mnt/share");
  }
  if (!options.token.empty() || !url.user.empty()) return wrong(options, "a shared drive takes no token");
  auto path = percent_decode(url.path);
  if (!path) return wrong(options, path.error().message);
  auto folder = std::filesystem::path(*path).lexically_normal();
  bool usable = url.query.empty() && path->find('\0') == std::string::npos && folder.is_absolute() && folder != "/";
  if (!usable) return wrong(options, "it names no folder; write file:///mnt/share");
  return std::unique_ptr<Remote>(std::make_unique<FileRemote>(std::move(folder), patience));
}

bool is_of_a_later_version(std::string_view scheme) {
  constexpr std::string_view kLater[] = {"turbo+https", "turbo+http", "bazel+https", "bazel+http", "grpcs",
                                         "grpc",        "s3",         "az",          "gs"};
  return std::find(std::begin(kLater), std::end(kLater), scheme) != std::end(kLater);
}

}  // namespace

RemoteEnvironment RemoteEnvironment::of_process() {
  RemoteEnvironment environment;
  environment.extra_ca_file = variable("NODE_EXTRA_CA_CERTS");
  environment.verify_tls = variable("NODE_TLS_REJECT_UNAUTHORIZED") != "0";
  if (variable("http_proxy").empty()) environment.http_proxy = variable("HTTP_PROXY");
  return environment;
}

Result<std::unique_ptr<Remote>> open_remote(const RemoteOptions& options, const Patience& patience,
                                            const RemoteEnvironment& environment) {
  auto url = Url::parse(options.url);
  if (!url) return in_context("remote " + options.name, std::move(url).error());
  if (url->scheme == "file") return open_file(options, *url, patience);
  if (url->scheme == "nx+https" || url->scheme == "nx+http") {
    url->scheme = url->scheme.substr(3);
    return open_nx(options, *std::move(url), patience, environment);
  }
  if (is_of_a_later_version(url->scheme)) {
    return wrong(options, url->scheme + ":// is not in this version; " + std::string(kKnown));
  }
  if (url->scheme == "https" || url->scheme == "http") {
    return wrong(options, "the URL does not say which protocol the server speaks; for an Nx cache server write nx+" +
                              url->scheme + "://; " + std::string(kKnown));
  }
  return wrong(options, "the scheme " + url->scheme + ":// is unknown; " + std::string(kKnown));
}

Result<std::unique_ptr<GuardedRemote>> open_guarded_remote(const RemoteOptions& options,
                                                           const GuardedRemote::Options& guard,
                                                           const RemoteEnvironment& environment) {
  auto remote = open_remote(options, guard.patience, environment);
  if (!remote) return std::move(remote).error();
  return std::make_unique<GuardedRemote>(*std::move(remote), guard);
}

}  // namespace hitfs
