#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/result.h"
#include "store/key.h"

namespace hitfs {

// The namespace of run lists. Part n of a commit is the entry named by list_key(commit, n); like every namespace of
// ours its names are hashed on remotes.
inline constexpr std::string_view kListSpace = "list";

// Whether `text` is the full name of a git commit: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
[[nodiscard]] bool is_commit_name(std::string_view text);
[[nodiscard]] Key list_key(const std::string& commit, uint64_t part);

// What one build of one commit hit or stored. A value. Its form, in sync/README.md under "Run lists", is JSON, as gzip
// beyond kPlainBytes; equal lists have equal bytes.
struct RunList {
  enum class How { hit, stored };
  struct Item {
    Key key;
    std::string task = {};  // "lib-a:build"; empty when nobody knows
    How how = How::hit;
    uint64_t bytes = 0;  // of the entry; 0 when not known

    bool operator==(const Item&) const = default;
  };

  static constexpr size_t kMostItems = 50'000;
  static constexpr size_t kLongestTask = 512;
  static constexpr size_t kPlainBytes = 64 << 10;
  static constexpr size_t kMostBytes = 8 << 20;      // as it travels
  static constexpr size_t kMostUnpacked = 64 << 20;  // as JSON

  std::string commit;
  bool complete = false;         // the build ended with success; else the list may lack what came after the failure
  std::vector<Item> items = {};  // in the order in which the build needed them

  // The bytes of the list; `no_space` beyond the limits above.
  [[nodiscard]] Result<std::string> encode() const;
  // `corrupt` for bytes that are no list or break a limit, `invalid_argument` for a format of tomorrow.
  static Result<RunList> parse(std::string_view bytes);

  // Whether everything of `other` stands here: key and task, and that the build succeeded if it did.
  [[nodiscard]] bool covers(const RunList& other) const;
  // Takes in what `other` has and this one lacks; keeps the limit.
  void merge(const RunList& other);

  bool operator==(const RunList&) const = default;
};

[[nodiscard]] std::string_view to_text(RunList::How how);

}  // namespace hitfs
