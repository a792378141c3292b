#include "sync/remotes/transfer_watch.h"

#include <algorithm>
#include <string>

namespace hitfs {

TransferWatch::TransferWatch(RemoteCall& call, const Patience& patience, Milliseconds answer_limit, const Clock& clock)
    : call_(call), patience_(patience), answer_limit_(answer_limit), clock_(clock), since_(clock.now()) {
  call_.waiting_since = since_.time_since_epoch().count();
}

TransferWatch::~TransferWatch() {
  book();
  call_.waiting_since = 0;
}

void TransferWatch::book() {
  auto now = clock_.now();
  auto passed = now - since_;
  since_ = now;
  call_.waiting_since = now.time_since_epoch().count();
  switch (phase_) {
    case Phase::connecting: call_.times.connect += passed; return;
    case Phase::awaiting: call_.times.first_byte += passed; return;
    case Phase::sending:
    case Phase::receiving: (passed > kFlowGap ? call_.times.stalled : call_.times.transfer) += passed; return;
  }
}

void TransferWatch::enter(Phase next) {
  book();
  phase_ = next;
}

void TransferWatch::connecting() { enter(Phase::connecting); }
void TransferWatch::sending() { enter(Phase::sending); }
void TransferWatch::awaiting() { enter(Phase::awaiting); }
void TransferWatch::receiving() { enter(Phase::receiving); }

void TransferWatch::moved(uint64_t bytes) {
  book();
  call_.times.bytes += bytes;
}

void TransferWatch::begin_busy() {
  book();
  call_.waiting_since = 0;
}

void TransferWatch::end_busy() {
  auto now = clock_.now();
  call_.times.transfer += now - since_;
  since_ = now;
  call_.waiting_since = now.time_since_epoch().count();
}

Milliseconds TransferWatch::limit() const {
  switch (phase_) {
    case Phase::connecting: return patience_.connect;
    case Phase::awaiting: return answer_limit_;
    case Phase::sending:
    case Phase::receiving: return patience_.stall;
  }
  return patience_.stall;
}

std::optional<Error> TransferWatch::give_up() {
  auto because = [&](Trouble trouble, const std::string& why) {
    call_.trouble = trouble;
    return Error{Code::unavailable, why};
  };
  if (call_.stop.stop_requested()) return because(Trouble::cancelled, "cancelled");
  if (call_.until.passed(clock_)) return because(Trouble::cancelled, "the time for this call is up");
  if (clock_.now() - since_ < limit()) return std::nullopt;
  auto within = std::to_string(limit().count()) + " ms";
  switch (phase_) {
    case Phase::connecting: return because(Trouble::connect, "no connection within " + within);
    case Phase::awaiting: return because(Trouble::silent, "no answer within " + within);
    case Phase::sending: return because(Trouble::stalled, "it took no byte for " + within);
    case Phase::receiving: return because(Trouble::stalled, "it sent no byte for " + within);
  }
  return std::nullopt;
}

Milliseconds TransferWatch::next_check() const {
  auto phase_ends = Deadline::at(since_ + limit());
  return phase_ends.or_earlier(call_.until).left(clock_);
}

}  // namespace hitfs
