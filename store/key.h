#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "store/base/result.h"

namespace hitfs {

// What a tool looks up, and whose entry it is. The three parts are the primary key of an entry. A value.
struct Key {
  std::string scope;  // "" until trust scopes are used; else "main", "pr/123", ...
  std::string space;  // the namespace: "nx", "flat", "turbo", "bazel-cas", ...; [a-z0-9-]{1,32}
  std::string name;   // the hash text that the tool uses: 1 to 255 bytes, no '/' and no NUL, else arbitrary

  // Checks the parts; `invalid_argument` names the wrong one.
  static Result<Key> make(std::string scope, std::string space, std::string name);
  // Reads text(), and "name" alone with `default_space`. What people type and what the daemon's interface carries.
  static Result<Key> parse(std::string_view text, std::string_view default_space);

  // "flat/1f3a", with a scope "pr%2F123:flat/1f3a"; bytes outside [A-Za-z0-9._~-] are percent-encoded, so it is
  // always ASCII. Round-trips through parse().
  [[nodiscard]] std::string text() const;

  auto operator<=>(const Key&) const = default;
};

// The namespace of what `hitfs serve` holds for other machines: its names are remote names already, its bytes opaque.
inline constexpr std::string_view kRawSpace = "raw";

// The name of an entry on a remote: decided once, here, for every remote.
struct RemoteKey {
  Key key;
  // Set for a protocol's own namespace in the empty scope: other clients of that server know the entry by this
  // name. And for kRawSpace there, so that a server in front of another one asks for what its clients asked for. Else
  // the name is opaque: the hex SHA-256 of (scope, generation, namespace, name), and so are the bytes.
  bool plain = false;
  std::string name;

  // `own_space` is the namespace that the remote's protocol itself serves ("nx" on an Nx server; "" for none).
  [[nodiscard]] static RemoteKey of(const Key& key, uint64_t generation, std::string_view own_space);
};

// Percent-encoding of every byte outside [A-Za-z0-9._~-], and back; a broken escape is `invalid_argument`.
[[nodiscard]] std::string percent_encode(std::string_view bytes);
Result<std::string> percent_decode(std::string_view text);

}  // namespace hitfs
