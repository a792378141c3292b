#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

namespace hitfs {

// State that can be reached only while its mutex is held: `auto state = state_.lock();`.
template <typename T>
class Guarded {
 public:
  class Lock {
   public:
    T* operator->() { return &guarded_->value_; }
    T& operator*() { return guarded_->value_; }

    // Waits until `ready(state)` holds; false when a stop was requested first.
    template <typename Ready>
    bool wait(std::stop_token stop, Ready ready) {
      return guarded_->changed_.wait(lock_, std::move(stop), [&] { return ready(guarded_->value_); });
    }

    // As wait(), and false as well when `until` has passed.
    template <typename TimePoint, typename Ready>
    bool wait_until(std::stop_token stop, TimePoint until, Ready ready) {
      return guarded_->changed_.wait_until(lock_, std::move(stop), until, [&] { return ready(guarded_->value_); });
    }

   private:
    friend class Guarded;
    explicit Lock(Guarded* guarded) : guarded_(guarded), lock_(guarded->mutex_) {}

    Guarded* guarded_;
    std::unique_lock<std::mutex> lock_;
  };

  Guarded() = default;
  explicit Guarded(T value) : value_(std::move(value)) {}

  [[nodiscard]] Lock lock() { return Lock(this); }

  // Wakes every waiter; call it after a change that some wait() looks at.
  void notify_all() { changed_.notify_all(); }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  T value_{};
};

}  // namespace hitfs
