#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "store/base/result.h"

namespace hitfs {

// The name of immutable bytes: their SHA-256 and their size. Equal digests mean equal bytes. A value.
struct Digest {
  std::array<std::byte, 32> hash{};
  uint64_t size = 0;

  // From 64 lower-case hex digits; anything else is `invalid_argument`.
  static Result<Digest> parse(std::string_view hex, uint64_t size);
  [[nodiscard]] static Digest of(std::span<const std::byte> bytes);

  [[nodiscard]] std::string hex() const;
  // "<hex>/<size>", for logs and messages.
  [[nodiscard]] std::string text() const;

  auto operator<=>(const Digest&) const = default;
};

// SHA-256 over bytes that arrive in pieces (OpenSSL). One owner, not thread-safe.
class Hasher {
 public:
  Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  void update(std::span<const std::byte> bytes);
  // The digest of everything so far; the hasher starts again from nothing.
  [[nodiscard]] Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
  uint64_t size_ = 0;
};

// Lower-case hex of `bytes`.
[[nodiscard]] std::string to_hex(std::span<const std::byte> bytes);

}  // namespace hitfs

template <>
struct std::hash<hitfs::Digest> {
  // The first bytes of a SHA-256 are as good as any hash of them.
  size_t operator()(const hitfs::Digest& digest) const noexcept {
    size_t value;
    static_assert(sizeof(value) <= sizeof(digest.hash));
    __builtin_memcpy(&value, digest.hash.data(), sizeof(value));
    return value;
  }
};
