// Run lists, which come from a server: what is taken keeps the limits and is written and read again unchanged. The
// first byte of an input says how the rest is read: 0 as it is, 1 packed with gzip first, 2 two lists one after the
// other (a line each) that are merged.
#include <cstdint>
#include <string>

#include "store/archive/gzip.h"
#include "store/base/io.h"
#include "store/text_stream.h"
#include "sync/run_list.h"
#include "tests/fuzz/fuzz.h"

namespace hitfs {
namespace {

using fuzz::Input;
using fuzz::promise;
using fuzz::value_of;

std::string gzip_of(std::string_view text) {
  TextSink packed;
  GzipWriter gzip(packed, GuardLimits{});
  promise(gzip.write(io::as_bytes(text)) && gzip.finish(), "any bytes become a gzip");
  return std::move(packed.text);
}

RunList check(const RunList& list) {
  promise(is_commit_name(list.commit), "a list names its commit");
  promise(list.items.size() <= RunList::kMostItems, "the number of keys is bounded");
  for (const auto& item : list.items) {
    promise(item.task.size() <= RunList::kLongestTask, "the name of a task is bounded");
    promise(Key::make(item.key.scope, item.key.space, item.key.name).has_value(), "a key is a key");
  }
  auto bytes = value_of(list.encode(), "what was read can be written");
  auto again = value_of(RunList::parse(bytes), "what was written is taken");
  promise(again == list, "a list stays what it is");
  promise(value_of(again.encode(), "once more") == bytes, "equal lists have equal bytes");
  promise(list.covers(RunList{.commit = list.commit}), "every list covers an empty one");
  return list;
}

void check_merged(RunList one, const RunList& other) {
  one.merge(other);
  check(one);
  auto size = one.items.size();
  one.merge(other);
  promise(one.items.size() == size, "merging twice adds nothing");
  for (const auto& item : other.items) {
    bool there =
        std::any_of(one.items.begin(), one.items.end(), [&](const auto& mine) { return mine.key == item.key; });
    promise(there, "what was merged is there");
  }
}

Result<RunList> parse(std::string_view bytes) {
  auto list = RunList::parse(bytes);
  bool known = list || list.error().code == Code::corrupt || list.error().code == Code::invalid_argument;
  promise(known, "a list is damaged or of tomorrow", list ? "" : list.error().message);
  return list;
}

}  // namespace
}  // namespace hitfs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hitfs;
  fuzz::Input input(data, size);
  auto how = input.number<uint8_t>() % 3;
  auto one = parse(how == 0 ? std::string(input.all()) : how == 1 ? gzip_of(input.all()) : std::string(input.line()));
  if (!one) return 0;
  check(*one);
  if (how != 2) return 0;
  if (auto other = parse(input.all())) check_merged(*one, *other);
  return 0;
}
