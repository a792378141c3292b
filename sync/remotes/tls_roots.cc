#include "sync/remotes/tls_roots.h"

#include <cstdlib>

#include "store/base/io.h"
#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr size_t kMostBytes = 16 << 20;

Result<std::string> certificates_of(const std::string& file) {
  auto text = io::read_file(file, kMostBytes);
  if (!text) {
    return Error{Code::invalid_argument, "CA file " + file + " cannot be read (" + text.error().message +
                                             "): correct its path, or leave it out to use the system's roots alone"};
  }
  if (text->find("-----BEGIN CERTIFICATE-----") == std::string::npos &&
      text->find("-----BEGIN TRUSTED CERTIFICATE-----") == std::string::npos) {
    return Error{Code::invalid_argument, "CA file " + file + " holds no certificate: it must be PEM text"};
  }
  return *std::move(text) + "\n";
}

// Where distributions keep their bundle; SSL_CERT_FILE goes first, as for OpenSSL's own tools.
std::string system_roots() {
  const char* chosen = std::getenv("SSL_CERT_FILE");
  for (const std::string& file : {std::string(chosen ? chosen : ""), std::string("/etc/ssl/certs/ca-certificates.crt"),
                                  std::string("/etc/pki/tls/certs/ca-bundle.crt"), std::string("/etc/ssl/cert.pem")}) {
    if (file.empty()) continue;
    if (auto text = io::read_file(file, kMostBytes)) return *std::move(text) + "\n";
  }
  return "";
}

}  // namespace

Result<std::string> joined_roots(const std::string& required, const std::string& optional) {
  std::string further;
  if (!required.empty()) {
    auto text = certificates_of(required);
    if (!text) return text;
    further += *text;
  }
  if (!optional.empty()) {
    auto text = certificates_of(optional);
    if (text) further += *text;
    if (!text) kLog.warn("NODE_EXTRA_CA_CERTS ignored=\"{}\"", text.error().message);
  }
  return further.empty() ? std::string() : system_roots() + further;
}

}  // namespace hitfs
