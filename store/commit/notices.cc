#include "store/commit/notices.h"

namespace hitfs {

void Notices::observe(EntryStore::Observer observer) { state_.lock()->observer = std::move(observer); }

void Notices::committed(Entry entry) { state_.lock()->waiting.push_back({std::move(entry), false, ""}); }

void Notices::retired(Entry entry, std::string why) {
  state_.lock()->waiting.push_back({std::move(entry), true, std::move(why)});
}

void Notices::deliver() {
  EntryStore::Observer observer;
  {
    auto state = state_.lock();
    if (state->delivering) return;
    state->delivering = true;
    observer = state->observer;
  }
  while (true) {
    Notice notice;
    {
      auto state = state_.lock();
      if (state->waiting.empty()) {
        state->delivering = false;
        return;
      }
      notice = std::move(state->waiting.front());
      state->waiting.pop_front();
    }
    if (notice.retired) {
      if (observer.retired) observer.retired(notice.entry, notice.why);
    } else if (observer.committed) {
      observer.committed(notice.entry);
    }
  }
}

}  // namespace hitfs
