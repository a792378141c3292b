#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "store/base/result.h"

namespace hitfs {

// A JSON value as plain data: the daemon's interface, `--json` output and the token file speak it. nlohmann-json does
// the reading and writing, in json.cc alone. Text must be UTF-8: a name of arbitrary bytes travels percent-encoded
// (Key::text()). A value, not thread-safe.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  Json() = default;
  Json(std::nullptr_t) {}                                       // NOLINT(google-explicit-constructor)
  Json(bool value) : value_(value) {}                           // NOLINT(google-explicit-constructor)
  Json(double value) : value_(value) {}                         // NOLINT(google-explicit-constructor)
  Json(const char* value) : value_(std::string(value)) {}       // NOLINT(google-explicit-constructor)
  Json(std::string value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Json(std::string_view value) : value_(std::string(value)) {}  // NOLINT(google-explicit-constructor)
  Json(Array value) : value_(std::move(value)) {}               // NOLINT(google-explicit-constructor)
  Json(Object value) : value_(std::move(value)) {}              // NOLINT(google-explicit-constructor)
  template <typename Integer,
            typename = std::enable_if_t<std::is_integral_v<Integer> && !std::is_same_v<Integer, bool>>>
  Json(Integer value) : value_(static_cast<int64_t>(value)) {}  // NOLINT(google-explicit-constructor)

  // Refuses more than `kMaxDepth` levels and anything that is not one whole JSON text.
  static Result<Json> parse(std::string_view text);
  static constexpr int kMaxDepth = 64;

  // One line; invalid UTF-8 in text is replaced, never an error.
  [[nodiscard]] std::string dump() const;
  // Indented, for people.
  [[nodiscard]] std::string dump_pretty() const;

  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  [[nodiscard]] bool is_object() const { return std::holds_alternative<Object>(value_); }
  [[nodiscard]] bool is_array() const { return std::holds_alternative<Array>(value_); }
  [[nodiscard]] bool is_text() const { return std::holds_alternative<std::string>(value_); }

  // The member `name`, or null when this is no object or has none.
  [[nodiscard]] const Json& operator[](std::string_view name) const;
  // The member `name` to write to; makes this an object if it is null.
  Json& operator[](std::string_view name);
  void push_back(Json value);

  // The value as that type, or `otherwise` when it is of another one.
  [[nodiscard]] std::string text_or(std::string_view otherwise) const;
  [[nodiscard]] int64_t integer_or(int64_t otherwise) const;
  [[nodiscard]] double number_or(double otherwise) const;
  [[nodiscard]] bool bool_or(bool otherwise) const;
  // The elements; empty when this is no array (no object).
  [[nodiscard]] const Array& items() const;
  [[nodiscard]] const Object& members() const;

  bool operator==(const Json&) const = default;

 private:
  std::variant<std::nullptr_t, bool, int64_t, double, std::string, Array, Object> value_ = nullptr;
};

}  // namespace hitfs
