#include "store/digest.h"

#include <openssl/evp.h>

#include <new>

namespace hitfs {

namespace {

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (std::byte byte : bytes) {
    auto value = std::to_integer<unsigned>(byte);
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

Result<Digest> Digest::parse(std::string_view hex, uint64_t size) {
  Digest digest;
  if (hex.size() != 2 * digest.hash.size()) return Error{Code::invalid_argument, "a digest has 64 hex digits"};
  for (size_t i = 0; i < digest.hash.size(); ++i) {
    int high = hex_value(hex[2 * i]);
    int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return Error{Code::invalid_argument, "a digest has lower-case hex digits only"};
    digest.hash[i] = static_cast<std::byte>(high << 4 | low);
  }
  digest.size = size;
  return digest;
}

Digest Digest::of(std::span<const std::byte> bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

std::string Digest::hex() const { return to_hex(hash); }

std::string Digest::text() const { return hex() + "/" + std::to_string(size); }

struct Hasher::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  Context() {
    if (evp == nullptr || EVP_DigestInit_ex(evp, EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
  }
  ~Context() { EVP_MD_CTX_free(evp); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

Hasher::Hasher() : context_(std::make_unique<Context>()) {}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(std::span<const std::byte> bytes) {
  // SHA-256 over memory cannot fail once the context exists.
  EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size());
  size_ += bytes.size();
}

Digest Hasher::finish() {
  Digest digest;
  EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(digest.hash.data()), nullptr);
  EVP_DigestInit_ex(context_->evp, nullptr, nullptr);
  digest.size = size_;
  size_ = 0;
  return digest;
}

}  // namespace hitfs
