#include "sync/listener/token_file.h"

#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/log.h"
#include "store/base/unique_fd.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr std::string_view kWhat = "token file";
constexpr std::string_view kVersionMember = "hitfs-tokens";
constexpr int64_t kVersion = 1;
// So that scanners for lost secrets recognise one.
constexpr std::string_view kPrefix = "hitfs_";
constexpr size_t kMostBytes = 16 << 20;

using Records = std::vector<TokenRecord>;

Error wrong(const std::filesystem::path& file, const std::string& why) {
  return {Code::invalid_argument, "token file " + file.string() + ": " + why};
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' ||
           c == '-';
  });
}

bool has_name(const Records& records, std::string_view name) {
  return std::any_of(records.begin(), records.end(), [&](const TokenRecord& record) { return record.name == name; });
}

Result<std::vector<std::string>> scopes_from(const Json& json) {
  if (json.is_null()) return std::vector<std::string>{""};
  if (json.items().empty()) return Error{Code::invalid_argument, "read_scopes must be a list of at least one text"};
  std::vector<std::string> scopes;
  for (const auto& item : json.items()) {
    if (!item.is_text()) return Error{Code::invalid_argument, "read_scopes must be a list of at least one text"};
    scopes.push_back(item.text_or(""));
  }
  return scopes;
}

Result<TokenRights> rights_from(const Json& json) {
  std::string text;
  for (const auto& item : json.items()) text += (text.empty() ? "" : ",") + item.text_or("?");
  return parse_rights(text);
}

// The size of a digest is not in the file: the digest of a token is compared by its hash.
Result<Digest> hash_from(const Json& json) {
  auto hash = Digest::parse(json.text_or(""), 0);
  if (!hash) return Error{Code::invalid_argument, "sha256 must be 64 lower-case hex digits"};
  return hash;
}

Result<TokenRecord> record_from(const Json& json) {
  TokenRecord record;
  record.name = json["name"].text_or("");
  if (!is_name(record.name)) {
    return Error{Code::invalid_argument, "name must be 1 to 64 characters A-Z, a-z, 0-9, '.', '_' and '-'"};
  }
  auto hash = hash_from(json["sha256"]);
  if (!hash) return std::move(hash).error();
  auto rights = rights_from(json["rights"]);
  if (!rights) return std::move(rights).error();
  auto scopes = scopes_from(json["read_scopes"]);
  if (!scopes) return std::move(scopes).error();
  record.hash = *hash;
  record.read = rights->read;
  record.write = rights->write;
  record.read_scopes = *std::move(scopes);
  record.write_scope = json["write_scope"].text_or("");
  record.created = json["created"].text_or("");
  return record;
}

Json to_json(const TokenRecord& record) {
  Json::Array rights;
  if (record.read) rights.push_back("read");
  if (record.write) rights.push_back("write");
  Json::Array scopes;
  for (const auto& scope : record.read_scopes) scopes.push_back(scope);
  return Json::Object{{"name", record.name},
                      {"sha256", record.hash.hex()},
                      {"rights", std::move(rights)},
                      {"read_scopes", std::move(scopes)},
                      {"write_scope", record.write_scope},
                      {"created", record.created}};
}

Result<Records> load(const std::filesystem::path& file) {
  auto text = io::read_file(file, kMostBytes);
  if (!text) return in_context("token file", std::move(text).error());
  auto json = Json::parse(*text);
  if (!json) return wrong(file, json.error().message + "; mend it or restore a copy");
  const auto& whole = std::as_const(*json);
  if (whole[kVersionMember].integer_or(0) != kVersion) {
    return wrong(file, "has no \"hitfs-tokens\": 1; make one with `hitfs token add`, or use a newer hitfs");
  }
  Records records;
  for (const auto& item : whole["tokens"].items()) {
    auto record = record_from(item);
    auto label = "token " + std::to_string(records.size() + 1) + " (" + item["name"].text_or("no name") + "): ";
    if (!record) return wrong(file, label + record.error().message);
    if (has_name(records, record->name)) return wrong(file, label + "the name is there twice; rename one");
    records.push_back(*std::move(record));
  }
  return records;
}

Status save(const std::filesystem::path& file, const Records& records) {
  Json::Array tokens;
  for (const auto& record : records) tokens.push_back(to_json(record));
  Json json = Json::Object{{std::string(kVersionMember), kVersion}, {"tokens", std::move(tokens)}};
  return io::replace_file(file, io::as_bytes(json.dump_pretty() + "\n"), kWhat, 0600);
}

// Held while the file is read, changed and replaced; the file itself is replaced, so the lock is one beside it.
Result<UniqueFd> lock(const std::filesystem::path& file) {
  auto path = file;
  path += ".lock";
  auto fd = io::create(path, kWhat, {.mode = 0600, .exclusive = false});
  if (!fd) return in_context("token file", std::move(fd).error());
  if (::flock(fd->get(), LOCK_EX) < 0) return system_error("lock " + path.string(), errno);
  return fd;
}

Result<std::string> random_token() {
  std::array<std::byte, 32> bytes;
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return system_error("random bytes", errno);
  }
  return std::string(kPrefix) + to_hex(bytes);
}

Digest hash_of(std::string_view token) {
  auto digest = Digest::of(io::as_bytes(token));
  digest.size = 0;
  return digest;
}

std::string now_text() {
  auto seconds = static_cast<time_t>(system_clock().unix_ms() / 1000);
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

Result<TokenRights> parse_rights(std::string_view text) {
  TokenRights rights;
  auto whole = text;
  while (true) {
    auto comma = std::min(text.find(','), text.size());
    auto word = text.substr(0, comma);
    if (word == "read") {
      rights.read = true;
    } else if (word == "write") {
      rights.write = true;
    } else {
      return Error{Code::invalid_argument, "rights \"" + std::string(whole) + "\": use read, write or read,write"};
    }
    if (comma == text.size()) return rights;
    text.remove_prefix(comma + 1);
  }
}

Result<std::string> add_token(const std::filesystem::path& file, const NewToken& token) {
  if (!is_name(token.name)) {
    return Error{Code::invalid_argument, "a token's name is 1 to 64 characters A-Z, a-z, 0-9, '.', '_' and '-'"};
  }
  if (!token.rights.read && !token.rights.write) return parse_rights("").error();
  if (token.read_scopes.empty()) return Error{Code::invalid_argument, "a token reads at least one scope"};
  auto held = lock(file);
  if (!held) return std::move(held).error();
  auto records = load(file);
  if (!records && records.error().code == Code::not_found) records = Records{};
  if (!records) return std::move(records).error();
  if (has_name(*records, token.name)) {
    return wrong(file, "there is a token " + token.name + " already; revoke it first or choose another name");
  }
  auto text = random_token();
  if (!text) return text;
  records->push_back({token.name, hash_of(*text), token.rights.read, token.rights.write, token.read_scopes,
                      token.write_scope, now_text()});
  if (auto saved = save(file, *records); !saved) return std::move(saved).error();
  return text;
}

Result<std::vector<TokenRecord>> list_tokens(const std::filesystem::path& file) { return load(file); }

Status revoke_token(const std::filesystem::path& file, std::string_view name) {
  auto held = lock(file);
  if (!held) return std::move(held).error();
  auto records = load(file);
  if (!records) return std::move(records).error();
  if (std::erase_if(*records, [&](const TokenRecord& record) { return record.name == name; }) == 0) {
    return Error{Code::not_found,
                 "token file " + file.string() + ": no token " + std::string(name) + "; see `hitfs token list`"};
  }
  return save(file, *records);
}

Result<std::unique_ptr<TokenAccess>> TokenAccess::open(std::filesystem::path file) {
  auto access = std::unique_ptr<TokenAccess>(new TokenAccess(std::move(file)));
  auto seen = access->version();
  auto records = load(access->file_);
  if (!records) {
    auto error = std::move(records).error();
    if (error.code == Code::not_found) error.message += "; make one with `hitfs token add --tokens FILE --name NAME`";
    return error;
  }
  *access->state_.lock() = {seen, *std::move(records)};
  return access;
}

TokenAccess::Version TokenAccess::version() const {
  struct stat info {};
  if (::stat(file_.c_str(), &info) < 0) return {};
  return {info.st_ino, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec, info.st_size};
}

void TokenAccess::refresh() {
  auto now = version();
  {
    auto state = state_.lock();
    if (now == state->seen) return;
    state->seen = now;  // whoever comes meanwhile still works with the former tokens
  }
  auto records = load(file_);
  if (!records) {
    kLog.error("tokens unreadable, the last good ones stay in force: {}", records.error().message);
    return;
  }
  kLog.info("tokens read again file={} tokens={}", file_.string(), records->size());
  state_.lock()->records = *std::move(records);
}

std::optional<Grant> TokenAccess::grant(std::string_view token) {
  refresh();
  auto hash = hash_of(token);
  auto state = state_.lock();
  std::optional<Grant> grant;
  // All are compared, so that the time does not tell which one it was.
  for (const auto& record : state->records) {
    if (!equal_in_constant_time(hash, record.hash)) continue;
    grant = Grant{record.name, record.read, record.write, record.read_scopes, record.write_scope};
  }
  return grant;
}

}  // namespace hitfs
