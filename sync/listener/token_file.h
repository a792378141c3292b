#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/guarded.h"
#include "store/base/result.h"
#include "sync/listener/access.h"

// The tokens of `hitfs serve`: a JSON file of their hashes, names and rights; the format is in sync/README.md, section
// Tokens. A token is 256 random bits, so its plain SHA-256 tells nobody anything: salt and slow hashes protect words
// that people choose, and these are never chosen.
namespace hitfs {

struct TokenRecord {
  std::string name;  // unique in the file: [A-Za-z0-9._-]{1,64}
  Digest hash;       // SHA-256 of the token's text
  bool read = false;
  bool write = false;
  std::vector<std::string> read_scopes = {""};
  std::string write_scope;
  std::string created;  // "2026-11-21T07:00:00Z"
};

struct TokenRights {
  bool read = false;
  bool write = false;
};
// "read", "write", "read,write"; `invalid_argument` says what there is.
Result<TokenRights> parse_rights(std::string_view text);

// For `hitfs token`. Each reads the file, changes it and replaces it whole, one process after the other. A missing file
// is an empty one for add_token(); else `not_found`. Errors name the file, the line or token, and the remedy.
struct NewToken {
  std::string name;
  TokenRights rights;
  std::vector<std::string> read_scopes = {""};
  std::string write_scope = {};
};
// The token itself: it can be shown this once and never again.
Result<std::string> add_token(const std::filesystem::path& file, const NewToken& token);
Result<std::vector<TokenRecord>> list_tokens(const std::filesystem::path& file);
Status revoke_token(const std::filesystem::path& file, std::string_view name);

// The grants of a token file, read again when it has changed (seen by its time, size and inode at the next request). A
// file that cannot be read any more leaves the last good tokens in force, with an error in the log: a slip of an editor
// must not stop every build of a team. To revoke everything write a file with no tokens.
class TokenAccess final : public Access {
 public:
  // Fails when the file cannot be read now.
  static Result<std::unique_ptr<TokenAccess>> open(std::filesystem::path file);
  std::optional<Grant> grant(std::string_view token) override;

 private:
  struct Version {
    uint64_t inode = 0;
    int64_t changed_ns = 0;
    int64_t size = -1;
    bool operator==(const Version&) const = default;
  };
  struct State {
    Version seen;
    std::vector<TokenRecord> records;
  };
  explicit TokenAccess(std::filesystem::path file) : file_(std::move(file)) {}
  [[nodiscard]] Version version() const;
  void refresh();

  const std::filesystem::path file_;
  Guarded<State> state_;
};

}  // namespace hitfs
