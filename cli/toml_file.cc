#include "cli/toml_file.h"

#include <fmt/core.h>

// toml++ asserts that a table's key begins like one, and lets the compiler assume it where there are no asserts. "[[@"
// does not, and becomes an error a few lines later as long as nobody assumed anything.
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <utility>

#include "store/base/io.h"

namespace hitfs {

namespace {

constexpr size_t kMostBytes = 1 << 20;

std::string place(const std::filesystem::path& path, const toml::source_position& at) {
  return fmt::format("{}:{}", path.string(), at.line);
}

// The text of a simple value; nothing for dates, tables and lists.
std::optional<std::string> text_of(const toml::node& node) {
  if (auto text = node.value_exact<std::string>()) return *text;
  if (auto number = node.value_exact<int64_t>()) return std::to_string(*number);
  if (auto number = node.value_exact<double>()) return fmt::format("{}", *number);
  if (auto yes = node.value_exact<bool>()) return *yes ? "true" : "false";
  return std::nullopt;
}

Error wrong_type(const std::filesystem::path& path, const toml::node& node, std::string_view key) {
  return Error{Code::invalid_argument,
               fmt::format("{}: {}: write a text in quotes, a number, true or false, or a list of texts",
                           place(path, node.source().begin), key)};
}

Result<RawSetting> read_setting(const std::filesystem::path& path, std::string_view key, const toml::node& node) {
  RawSetting setting{std::string(key), {}, place(path, node.source().begin), path.parent_path()};
  if (auto text = text_of(node)) {
    setting.values.push_back(std::move(*text));
    return setting;
  }
  const auto* list = node.as_array();
  if (list == nullptr) return wrong_type(path, node, key);
  for (const auto& item : *list) {
    auto text = text_of(item);
    if (!text) return wrong_type(path, item, key);
    setting.values.push_back(std::move(*text));
  }
  return setting;
}

Result<std::vector<RawSetting>> read_table(const std::filesystem::path& path, const toml::table& table) {
  std::vector<RawSetting> settings;
  for (const auto& [key, node] : table) {
    auto setting = read_setting(path, key.str(), node);
    if (!setting) return std::move(setting).error();
    settings.push_back(std::move(*setting));
  }
  return settings;
}

}  // namespace

Result<TomlFile> read_toml_file(const std::filesystem::path& path) {
  auto text = io::read_file(path, kMostBytes);
  if (!text) return std::move(text).error();
  auto parsed = toml::parse(*text, path.string());
  if (!parsed) {
    return Error{Code::invalid_argument, fmt::format("{}: {}", place(path, parsed.error().source().begin),
                                                     std::string_view(parsed.error().description()))};
  }
  TomlFile file;
  for (const auto& [key, node] : parsed.table()) {
    const auto* list = node.as_array();
    if (key.str() == "remote" && list != nullptr && !list->empty() && list->front().is_table()) {
      for (const auto& item : *list) {
        const auto* table = item.as_table();
        if (table == nullptr) return wrong_type(path, item, "remote");
        auto remote = read_table(path, *table);
        if (!remote) return std::move(remote).error();
        file.remotes.push_back(std::move(*remote));
      }
      continue;
    }
    auto setting = read_setting(path, key.str(), node);
    if (!setting) return std::move(setting).error();
    file.settings.push_back(std::move(*setting));
  }
  return file;
}

}  // namespace hitfs
