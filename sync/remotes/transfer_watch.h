#pragma once

#include <optional>

#include "store/base/clock.h"
#include "store/base/result.h"
#include "sync/options.h"
#include "sync/remotes/remote_call.h"

namespace hitfs {

// Follows one call through its phases: measures where its time goes and says when to give up. A transfer whose bytes
// move never times out, except at the call's own deadline. Belongs to the thread of the call.
class TransferWatch {
 public:
  // A pause within a body that is shorter than this is part of any transfer and not counted as a stall.
  static constexpr Milliseconds kFlowGap{100};

  // `answer_limit` replaces patience.first_byte where a remote may take longer (after an upload).
  TransferWatch(RemoteCall& call, const Patience& patience, Milliseconds answer_limit,
                const Clock& clock = system_clock());
  ~TransferWatch();
  TransferWatch(const TransferWatch&) = delete;
  TransferWatch& operator=(const TransferWatch&) = delete;

  // The phases, in this order; connecting() starts over, for a redirect.
  void connecting();
  void sending();    // connected; the request and its body go out
  void awaiting();   // all is sent; the answer is next
  void receiving();  // the head of the answer is here

  // Bytes of a body went or came.
  void moved(uint64_t bytes);

  // While it lives, time is spent here (a disk, a hash) and not by the other side.
  class Busy {
   public:
    explicit Busy(TransferWatch& watch) : watch_(watch) { watch_.begin_busy(); }
    ~Busy() { watch_.end_busy(); }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

   private:
    TransferWatch& watch_;
  };

  // Why the call should end now, if it should; notes the trouble in the call.
  [[nodiscard]] std::optional<Error> give_up();
  // Until give_up() could next say so because of time.
  [[nodiscard]] Milliseconds next_check() const;

  [[nodiscard]] bool is_connecting() const { return phase_ == Phase::connecting; }

 private:
  enum class Phase { connecting, sending, awaiting, receiving };

  void enter(Phase next);
  // Books the time since `since_` on the phase and starts anew from now.
  void book();
  void begin_busy();
  void end_busy();
  [[nodiscard]] Milliseconds limit() const;

  RemoteCall& call_;
  const Patience patience_;
  const Milliseconds answer_limit_;
  const Clock& clock_;
  Phase phase_ = Phase::connecting;
  MonotonicTime since_;  // of the last sign of life, or of the phase
};

}  // namespace hitfs
