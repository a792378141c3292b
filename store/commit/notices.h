#pragma once

#include <deque>
#include <string>

#include "store/base/guarded.h"
#include "store/entry_store.h"

namespace hitfs {

// Brings commits and retirements to the observer in the order in which they happened, one at a time and without a lock
// held, so that the observer may call the store. Safe from several threads.
class Notices {
 public:
  void observe(EntryStore::Observer observer);
  // Called in the commit lane, which gives the order.
  void committed(Entry entry);
  void retired(Entry entry, std::string why);
  // Called after the lane: tells what waits, unless another thread is telling already.
  void deliver();

 private:
  struct Notice {
    Entry entry;
    bool retired;
    std::string why;
  };
  struct State {
    std::deque<Notice> waiting;
    bool delivering = false;
    EntryStore::Observer observer;
  };
  Guarded<State> state_;
};

}  // namespace hitfs
