#include "tests/support/socket_server.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdio>
#include <stdexcept>

namespace hitfs::testing {

namespace {

// To `port`, which is set when it was 0.
UniqueFd bind_to_loopback(uint16_t& port, bool shared) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t size = sizeof(address);
  int on = 1;
  if (shared) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (!fd || ::bind(fd.get(), raw, size) < 0 || ::getsockname(fd.get(), raw, &size) < 0) {
    throw std::runtime_error("no socket on port " + std::to_string(port));
  }
  port = ntohs(address.sin_port);
  return fd;
}

UniqueFd listen_on_loopback(uint16_t& port) {
  // A named port is shared with who reserved it, and with connections of the server before that linger in TIME_WAIT.
  auto fd = bind_to_loopback(port, port != 0);
  if (::listen(fd.get(), 128) < 0) throw std::runtime_error("no listening socket on port " + std::to_string(port));
  return fd;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

SeenRequest parse_head(std::string_view head) {
  SeenRequest request;
  auto line = head.substr(0, head.find("\r\n"));
  auto space = line.find(' ');
  request.method = line.substr(0, space);
  request.target = line.substr(space + 1, line.rfind(' ') - space - 1);
  head.remove_prefix(line.size() + 2);
  while (!head.empty()) {
    line = head.substr(0, head.find("\r\n"));
    head.remove_prefix(std::min(head.size(), line.size() + 2));
    auto colon = line.find(": ");
    if (colon != std::string_view::npos) {
      request.headers.emplace_back(lower(std::string(line.substr(0, colon))), line.substr(colon + 2));
    }
  }
  return request;
}

}  // namespace

std::string SeenRequest::header(std::string_view name) const {
  auto found = std::find_if(headers.begin(), headers.end(), [&](const auto& header) { return header.first == name; });
  return found == headers.end() ? "" : found->second;
}

Connection::Connection(UniqueFd fd, SSL* tls, Guarded<std::vector<SeenRequest>>& seen)
    : fd_(std::move(fd)), tls_(tls), seen_(seen) {}

Connection::~Connection() { SSL_free(tls_); }

bool Connection::read_more() {
  char piece[64 << 10];
  auto got = tls_ ? SSL_read(tls_, piece, sizeof(piece)) : ::recv(fd_.get(), piece, sizeof(piece), 0);
  if (got <= 0) return false;
  buffer_.append(piece, static_cast<size_t>(got));
  return true;
}

std::optional<SeenRequest> Connection::read_head() {
  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!read_more()) return std::nullopt;
  }
  auto request = parse_head(std::string_view(buffer_).substr(0, end + 2));
  buffer_.erase(0, end + 4);
  seen_.lock()->push_back(request);
  return request;
}

std::optional<std::string> Connection::read_body(const SeenRequest& request) {
  auto length = request.header("content-length");
  size_t want = length.empty() ? 0 : std::stoull(length);
  if (!request.header("expect").empty()) send("HTTP/1.1 100 Continue\r\n\r\n");
  auto body = read_some(want);
  if (body.size() < want) return std::nullopt;
  return body;
}

std::string Connection::read_some(size_t bytes) {
  while (buffer_.size() < bytes && read_more()) {
  }
  auto some = buffer_.substr(0, bytes);
  buffer_.erase(0, some.size());
  return some;
}

bool Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    auto sent = tls_ ? SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()))
                     : ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool Connection::answer(int status, std::string_view body, const std::string& more_headers) {
  // In one piece: a body sent after its head would wait for the peer's delayed acknowledgement.
  std::string bytes = "HTTP/1.1 " + std::to_string(status) +
                      " Status\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + more_headers + "\r\n";
  return send(bytes.append(body));
}

void Connection::wait_closed() {
  while (read_more()) buffer_.clear();
}

bool Connection::wait_closed_for(Milliseconds time) {
  pollfd waiting{fd_.get(), POLLRDHUP, 0};
  return ::poll(&waiting, 1, static_cast<int>(time.count())) > 0;
}

void Connection::reset() {
  linger hard{1, 0};
  std::lock_guard lock(closing_);
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  fd_.reset();
}

void Connection::shut_down() {
  std::lock_guard lock(closing_);
  ::shutdown(fd_.get(), SHUT_RDWR);
}

ReservedPort::ReservedPort() : socket_(bind_to_loopback(number_, true)) {}

SocketServer::SocketServer(Script script, const std::string& certificate_file, const std::string& key_file,
                           uint16_t port)
    : script_(std::move(script)), port_(port), listening_(listen_on_loopback(port_)) {
  ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  if (!certificate_file.empty()) {
    tls_.reset(SSL_CTX_new(TLS_server_method()));
    if (SSL_CTX_use_certificate_file(tls_.get(), certificate_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
      throw std::runtime_error("certificate " + certificate_file);
    }
  }
  acceptor_ = std::jthread([this] { accept_all(); });
}

SocketServer::~SocketServer() {
  ::shutdown(listening_.get(), SHUT_RDWR);
  acceptor_.join();
  auto connections = connections_.lock();
  for (auto& served : *connections) served.connection->shut_down();
  for (auto& served : *connections) served.thread.join();
}

void SocketServer::accept_all() {
  while (true) {
    UniqueFd fd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) return;
    SSL* tls = nullptr;
    if (tls_) {
      tls = SSL_new(tls_.get());
      SSL_set_fd(tls, fd.get());
      SSL_set_accept_state(tls);
    }
    auto connections = connections_.lock();
    std::erase_if(*connections, [](const Served& served) { return served.done.load(); });
    auto& served = connections->emplace_back();
    served.connection = std::make_unique<Connection>(std::move(fd), tls, seen_);
    served.thread = std::jthread([this, &served] {
      script_(*served.connection);
      served.connection->shut_down();
      served.done = true;
    });
  }
}

uint16_t closed_port() {
  uint16_t port = 0;
  listen_on_loopback(port);
  return port;
}

void write_self_signed_certificate(const std::string& folder) {
  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  std::unique_ptr<X509, void (*)(X509*)> certificate(X509_new(), &X509_free);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_set_pubkey(certificate.get(), key.get());
  auto* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("hitfs test"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  for (auto [nid, value] :
       {std::pair(NID_subject_alt_name, "IP:127.0.0.1"), std::pair(NID_basic_constraints, "CA:TRUE")}) {
    auto* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    X509_add_ext(certificate.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  std::unique_ptr<FILE, int (*)(FILE*)> cert_file(std::fopen((folder + "/cert.pem").c_str(), "w"), &std::fclose);
  PEM_write_X509(cert_file.get(), certificate.get());
  std::unique_ptr<FILE, int (*)(FILE*)> key_file(std::fopen((folder + "/key.pem").c_str(), "w"), &std::fclose);
  PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
}

}  // namespace hitfs::testing
