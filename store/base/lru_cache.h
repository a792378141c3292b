#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>

namespace hitfs {

// Keeps the `capacity` values that were used last. One owner, not thread-safe (put it into Guarded).
template <typename Key, typename Value, typename Hash = std::hash<Key>>
class LruCache {
 public:
  explicit LruCache(size_t capacity) : capacity_(capacity) {}

  [[nodiscard]] std::optional<Value> get(const Key& key) {
    auto found = places_.find(key);
    if (found == places_.end()) return std::nullopt;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->second;
  }

  void put(const Key& key, Value value) {
    drop(key);
    order_.emplace_front(key, std::move(value));
    places_[key] = order_.begin();
    if (order_.size() <= capacity_) return;
    places_.erase(order_.back().first);
    order_.pop_back();
  }

  void drop(const Key& key) {
    auto found = places_.find(key);
    if (found == places_.end()) return;
    order_.erase(found->second);
    places_.erase(found);
  }

  // Drops every value for which `unwanted` says so.
  template <typename Unwanted>
  void drop_if(Unwanted unwanted) {
    for (auto at = order_.begin(); at != order_.end();) {
      if (!unwanted(at->second)) {
        ++at;
        continue;
      }
      places_.erase(at->first);
      at = order_.erase(at);
    }
  }

  void clear() {
    places_.clear();
    order_.clear();
  }

  [[nodiscard]] size_t size() const { return order_.size(); }

 private:
  size_t capacity_;
  std::list<std::pair<Key, Value>> order_;
  std::unordered_map<Key, typename std::list<std::pair<Key, Value>>::iterator, Hash> places_;
};

}  // namespace hitfs
