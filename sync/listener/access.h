#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/digest.h"

namespace hitfs {

// What the bearer of a token may do, and whose entries.
struct Grant {
  std::string who;  // the token's name, for logs
  bool read = false;
  bool write = false;
  std::vector<std::string> read_scopes = {""};  // asked in this order
  std::string write_scope;
};

// Says what a token is good for. Safe from several threads.
class Access {
 public:
  virtual ~Access() = default;
  // None for a token that is not known.
  virtual std::optional<Grant> grant(std::string_view token) = 0;
};

// One random token that allows everything in the empty scope: the endpoint of one machine.
class LoopbackAccess final : public Access {
 public:
  explicit LoopbackAccess(std::string_view token);
  std::optional<Grant> grant(std::string_view token) override;

 private:
  Digest token_;
};

// True when they are equal, in a time that does not tell where they differ.
[[nodiscard]] bool equal_in_constant_time(const Digest& one, const Digest& other);

// The token of "Bearer <token>"; none for anything else.
[[nodiscard]] std::optional<std::string_view> bearer_token(std::string_view authorization);

}  // namespace hitfs
