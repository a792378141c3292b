#include "store/layouts/nx.h"

#include <algorithm>

namespace hitfs {

namespace {

constexpr size_t kLongestHash = 20;  // 64 bits in decimal
constexpr size_t kWorkspaceId = 16;
constexpr size_t kLongestVersion = 40;
constexpr std::string_view kBackup = "-backup";
constexpr std::string_view kWorkspacePrefix = ".nx-";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }
bool is_version(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || c == '.' || c == '-'; }
bool are_digits(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_digit); }

bool is_hash(std::string_view name) { return name.size() <= kLongestHash && are_digits(name); }

// shared.db, shared-v6.db and their locks. Logs (-wal, -shm, -journal) lie beside the target of the link: SQLite
// resolves it first.
bool is_shared_database(std::string_view name) {
  constexpr std::string_view kShared = "shared";
  if (!name.starts_with(kShared)) return false;
  name.remove_prefix(kShared.size());
  auto dot = name.find('.');
  if (dot == std::string_view::npos) return false;
  auto kind = name.substr(dot);
  auto version = name.substr(0, dot);
  bool versioned = version.starts_with("-v") && version.size() <= 8 && are_digits(version.substr(2));
  return (kind == ".db" || kind == ".lock") && (version.empty() || versioned);
}

class NxLayout final : public Layout {
 public:
  [[nodiscard]] std::string_view name() const override { return "nx"; }
  [[nodiscard]] std::string_view space() const override { return kNxSpace; }
  [[nodiscard]] Completion completion() const override { return Completion::rename; }
  [[nodiscard]] std::string_view marker() const override { return ""; }
  [[nodiscard]] std::string_view outputs_folder() const override { return "terminalOutputs"; }
  [[nodiscard]] bool has_rows() const override { return true; }

  [[nodiscard]] Placement place(std::string_view name) const override {
    if (is_hash(name)) return {NameClass::entry, std::string(kNxSpace), std::string(name)};
    if (is_shared_database(name)) return {NameClass::link, "", std::string(name)};
    if (nx_version_in(name)) {
      return {NameClass::link, "", "workspaces/" + std::string(name.substr(kWorkspacePrefix.size()))};
    }
    return {NameClass::local, "", ""};
  }

  [[nodiscard]] std::string aside(std::string_view name) const override {
    return std::string(name) + std::string(kBackup);
  }
  [[nodiscard]] std::optional<std::string> set_aside(std::string_view aside) const override {
    if (!aside.ends_with(kBackup)) return std::nullopt;
    aside.remove_suffix(kBackup.size());
    return is_hash(aside) ? std::optional(std::string(aside)) : std::nullopt;
  }
};

}  // namespace

Result<std::unique_ptr<Layout>> make_nx_layout(const LayoutOptions& options) {
  if (!options.pattern.empty() || !options.complete.empty() || !options.space.empty()) {
    return Error{Code::invalid_argument,
                 "layout nx has its own names and its own end of a write: leave out pattern and complete"};
  }
  return std::unique_ptr<Layout>(std::make_unique<NxLayout>());
}

std::string nx_workspace_name(std::string_view version, std::string_view id) {
  return std::string(kWorkspacePrefix) + std::string(version) + "-" + std::string(id);
}

std::optional<std::string> nx_version_in(std::string_view name) {
  if (!name.starts_with(kWorkspacePrefix)) return std::nullopt;
  name.remove_prefix(kWorkspacePrefix.size());
  if (name.size() < kWorkspaceId + 2) return std::nullopt;
  auto id = name.substr(name.size() - kWorkspaceId);
  auto version = name.substr(0, name.size() - kWorkspaceId - 1);
  bool plain = version.size() <= kLongestVersion && is_digit(version.front()) &&
               std::all_of(version.begin(), version.end(), is_version) && name[version.size()] == '-' &&
               std::all_of(id.begin(), id.end(), is_hex);
  if (!plain) return std::nullopt;
  return std::string(version);
}

}  // namespace hitfs
