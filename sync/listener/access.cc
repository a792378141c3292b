#include "sync/listener/access.h"

#include "store/base/io.h"
#include "sync/listener/http_text.h"

namespace hitfs {

bool equal_in_constant_time(const Digest& one, const Digest& other) {
  auto difference = std::byte{0};
  for (size_t i = 0; i < one.hash.size(); ++i) difference |= one.hash[i] ^ other.hash[i];
  return difference == std::byte{0} && one.size == other.size;
}

std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  if (authorization.empty()) return std::nullopt;
  return authorization;
}

LoopbackAccess::LoopbackAccess(std::string_view token) : token_(Digest::of(io::as_bytes(token))) {}

std::optional<Grant> LoopbackAccess::grant(std::string_view token) {
  // Digests have one length, so that the comparison tells nothing about the length of the token either.
  if (!equal_in_constant_time(Digest::of(io::as_bytes(token)), token_)) return std::nullopt;
  return Grant{.who = "loopback", .read = true, .write = true, .read_scopes = {""}, .write_scope = ""};
}

}  // namespace hitfs
