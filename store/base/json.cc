#include "store/base/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace hitfs {

namespace {

using Library = nlohmann::json;

Json from_library(const Library& value) {
  switch (value.type()) {
    case Library::value_t::boolean: return value.get<bool>();
    case Library::value_t::number_integer: return value.get<int64_t>();
    case Library::value_t::number_unsigned: {
      auto number = value.get<uint64_t>();
      // Beyond int64 only as a double: nothing of ours is that large.
      if (number > static_cast<uint64_t>(INT64_MAX)) return static_cast<double>(number);
      return static_cast<int64_t>(number);
    }
    case Library::value_t::number_float: return value.get<double>();
    case Library::value_t::string: return value.get<std::string>();
    case Library::value_t::array: {
      Json::Array items;
      items.reserve(value.size());
      for (const auto& item : value) items.push_back(from_library(item));
      return items;
    }
    case Library::value_t::object: {
      Json::Object members;
      for (const auto& [name, member] : value.items()) members.emplace(name, from_library(member));
      return members;
    }
    case Library::value_t::null:
    case Library::value_t::binary:
    case Library::value_t::discarded: return nullptr;
  }
  return nullptr;
}

Library library_of(const Json& json) {
  if (json.is_null()) return nullptr;
  if (json.is_array()) {
    Library array = Library::array();
    for (const auto& item : json.items()) array.push_back(library_of(item));
    return array;
  }
  if (json.is_object()) {
    Library object = Library::object();
    for (const auto& [name, member] : json.members()) object[name] = library_of(member);
    return object;
  }
  if (json.is_text()) return json.text_or("");
  if (json == Json(true) || json == Json(false)) return json.bool_or(false);
  if (json == Json(json.integer_or(0))) return json.integer_or(0);
  return json.number_or(0);
}

Error not_valid(std::string_view text, size_t at) {
  auto line = 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(std::min(at, text.size())), '\n');
  return {Code::invalid_argument, "not valid JSON, line " + std::to_string(line)};
}

}  // namespace

Result<Json> Json::parse(std::string_view text) {
  // No JSON has this byte, and the library takes it for the end of the text.
  if (auto end = text.find('\0'); end != text.npos) return not_valid(text, end);
  bool too_deep = false;
  auto callback = [&](int depth, Library::parse_event_t, Library&) {
    if (depth > kMaxDepth) too_deep = true;
    return !too_deep;
  };
  try {
    auto value = Library::parse(text, callback);
    if (too_deep) return Error{Code::invalid_argument, "JSON is nested too deeply"};
    if (value.is_discarded()) return Error{Code::invalid_argument, "not valid JSON"};
    return from_library(value);
  } catch (const Library::parse_error& error) {  // the only way to learn where; its text would quote the input
    return not_valid(text, error.byte > 0 ? error.byte - 1 : 0);
  } catch (const Library::exception&) {  // out_of_range: the library calls 1e999 so
    return Error{Code::invalid_argument, "not valid JSON: a number is too large"};
  }
}

std::string Json::dump() const { return library_of(*this).dump(-1, ' ', false, Library::error_handler_t::replace); }

std::string Json::dump_pretty() const {
  return library_of(*this).dump(2, ' ', false, Library::error_handler_t::replace);
}

const Json& Json::operator[](std::string_view name) const {
  static const Json kNull;
  const auto* object = std::get_if<Object>(&value_);
  if (!object) return kNull;
  auto found = object->find(name);
  return found == object->end() ? kNull : found->second;
}

Json& Json::operator[](std::string_view name) {
  if (!is_object()) value_ = Object{};
  return std::get<Object>(value_)[std::string(name)];
}

void Json::push_back(Json value) {
  if (!is_array()) value_ = Array{};
  std::get<Array>(value_).push_back(std::move(value));
}

std::string Json::text_or(std::string_view otherwise) const {
  const auto* text = std::get_if<std::string>(&value_);
  return text ? *text : std::string(otherwise);
}

int64_t Json::integer_or(int64_t otherwise) const {
  const auto* number = std::get_if<int64_t>(&value_);
  return number ? *number : otherwise;
}

double Json::number_or(double otherwise) const {
  if (const auto* number = std::get_if<double>(&value_)) return *number;
  if (const auto* number = std::get_if<int64_t>(&value_)) return static_cast<double>(*number);
  return otherwise;
}

bool Json::bool_or(bool otherwise) const {
  const auto* flag = std::get_if<bool>(&value_);
  return flag ? *flag : otherwise;
}

const Json::Array& Json::items() const {
  static const Array kNone;
  const auto* array = std::get_if<Array>(&value_);
  return array ? *array : kNone;
}

const Json::Object& Json::members() const {
  static const Object kNone;
  const auto* object = std::get_if<Object>(&value_);
  return object ? *object : kNone;
}

}  // namespace hitfs
