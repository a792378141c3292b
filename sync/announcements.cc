#include "sync/announcements.h"

namespace hitfs {

void Announcements::add(const std::vector<Key>& keys) {
  bool any = false;
  {
    auto state = state_.lock();
    for (const auto& key : keys) {
      if (!state->numbers.try_emplace(key, state->last + 1).second) continue;
      state->keys.emplace(++state->last, key);
      any = true;
      if (state->keys.size() <= kMost) continue;
      state->numbers.erase(state->keys.begin()->second);
      state->keys.erase(state->keys.begin());
    }
  }
  if (any) added_();
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
  Page page{state->last, {}};
  for (auto it = state->keys.upper_bound(number); it != state->keys.end(); ++it) page.keys.push_back(it->second);
  return page;
}

}  // namespace hitfs
