#include "sync/announcements.h"

namespace hitfs {

void Announcements::add(const std::vector<Key>& keys) {
  bool tell = false;
  {
    auto state = state_.lock();
    for (const auto& key : keys) {
      if (!state->numbers.try_emplace(key, state->last + 1).second) continue;
      state->keys.emplace(++state->last, key);
      tell = tell || !state->told;
      state->told = true;
      if (state->keys.size() <= kMost) continue;
      state->numbers.erase(state->keys.begin()->second);
      state->keys.erase(state->keys.begin());
    }
  }
  if (tell) added_();
}

void Announcements::drop(const Key& key) {
  auto state = state_.lock();
  auto found = state->numbers.find(key);
  if (found == state->numbers.end()) return;
  state->keys.erase(found->second);
  state->numbers.erase(found);
}

Announcements::Page Announcements::after(uint64_t number) {
  auto state = state_.lock();
  state->told = false;
  Page page{state->last, {}};
  for (auto it = state->keys.upper_bound(number); it != state->keys.end(); ++it) page.keys.push_back(it->second);
  return page;
}

std::vector<Key> evicted_before(AccessLog& log, StoreReader& reader, const std::stop_token& stop) {
  constexpr size_t kPage = 1000;
  std::vector<Key> keys;
  uint64_t number = 0;
  while (!stop.stop_requested()) {
    auto page = log.after(number, kPage);
    if (!page || page->empty()) break;
    number = page->back().number;
    for (auto& record : *page) {
      if (record.kind != AccessKind::evicted || record.detail == kReplaced) continue;
      if (!reader.find(record.key)) keys.push_back(std::move(record.key));
    }
  }
  return keys;
}

}  // namespace hitfs
