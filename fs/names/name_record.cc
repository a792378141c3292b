#include "fs/names/name_record.h"

#include <cstring>

namespace hitfs::fs {

namespace {

// Bit i of the mask says that field i follows, as 8 bytes; the order is the format.
enum Field { kUnique, kTime, kNumber, kParent, kOtherParent, kValue, kTree, kMode, kMtime, kAtime, kFieldCount };

template <typename T>
void append(std::string& into, T value) {
  into.append(reinterpret_cast<const char*>(&value), sizeof(value));  // every machine we build for is little-endian
}

class Fields {
 public:
  void put(Field field, uint64_t value, bool present) {
    if (!present) return;
    mask_ |= static_cast<uint16_t>(1u << field);
    append(bytes_, value);
  }
  void put(Field field, uint64_t value) { put(field, value, value != 0); }
  void put(Field field, const std::optional<int64_t>& value) {
    put(field, static_cast<uint64_t>(value.value_or(0)), value.has_value());
  }
  [[nodiscard]] uint16_t mask() const { return mask_; }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  uint16_t mask_ = 0;
  std::string bytes_;
};

// Takes values off the front; fails once and for all when the bytes end too early.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T take() {
    T value{};
    if (rest_.size() < sizeof(T)) {
      good_ = false;
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return value;
  }
  std::string text() {
    auto length = take<uint16_t>();
    if (rest_.size() < length) good_ = false;
    if (!good_) return {};
    std::string value(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return value;
  }
  [[nodiscard]] bool ended_well() const { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace

std::string encode(const NameRecord& record) {
  Fields fields;
  fields.put(kUnique, record.unique);
  fields.put(kTime, static_cast<uint64_t>(record.time_ns));
  fields.put(kNumber, record.number);
  fields.put(kParent, record.parent);
  fields.put(kOtherParent, record.other_parent);
  fields.put(kValue, record.value);
  fields.put(kTree, record.tree);
  fields.put(kMode, record.mode.value_or(0), record.mode.has_value());
  fields.put(kMtime, record.mtime_ns);
  fields.put(kAtime, record.atime_ns);

  std::string payload;
  append(payload, static_cast<uint8_t>(record.op));
  append(payload, uint8_t{0});
  append(payload, fields.mask());
  payload += fields.bytes();
  append(payload, static_cast<uint16_t>(record.name.size()));
  payload += record.name;
  append(payload, static_cast<uint16_t>(record.other_name.size()));
  payload += record.other_name;
  return payload;
}

Result<NameRecord> decode(std::string_view payload) {
  Cursor cursor(payload);
  NameRecord record;
  auto op = cursor.take<uint8_t>();
  if (cursor.take<uint8_t>() != 0 || op < static_cast<uint8_t>(NameOp::session) ||
      op > static_cast<uint8_t>(NameOp::thaw)) {
    return Error{Code::invalid_argument, "operation " + std::to_string(op) + " is not of this version of hitfs"};
  }
  record.op = static_cast<NameOp>(op);
  auto mask = cursor.take<uint16_t>();
  if (mask >> kFieldCount != 0) return Error{Code::invalid_argument, "a field is not of this version of hitfs"};
  auto field = [&](Field which) { return (mask >> which & 1) != 0 ? cursor.take<uint64_t>() : 0; };
  auto time = [&](Field which) -> std::optional<int64_t> {
    if ((mask >> which & 1) == 0) return std::nullopt;
    return static_cast<int64_t>(cursor.take<uint64_t>());
  };
  record.unique = field(kUnique);
  record.time_ns = static_cast<int64_t>(field(kTime));
  record.number = field(kNumber);
  record.parent = field(kParent);
  record.other_parent = field(kOtherParent);
  record.value = field(kValue);
  record.tree = field(kTree);
  if ((mask >> kMode & 1) != 0) record.mode = static_cast<uint16_t>(cursor.take<uint64_t>());
  record.mtime_ns = time(kMtime);
  record.atime_ns = time(kAtime);
  record.name = cursor.text();
  record.other_name = cursor.text();
  if (!cursor.ended_well()) return Error{Code::corrupt, "a record does not end where it should"};
  return record;
}

}  // namespace hitfs::fs
