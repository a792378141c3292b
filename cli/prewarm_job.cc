#include "cli/prewarm_job.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace hitfs {

namespace {

constexpr int kMostBeginnings = 5;
constexpr Milliseconds kLastFigures{2000};
constexpr Milliseconds kLook{20};

// Of a daemon that is gone, or that never heard of the job.
bool was_restarted(Code code) { return code == Code::unavailable || code == Code::not_found; }

}  // namespace

PrewarmJob::PrewarmJob(const Context& context, Lease lease, PrewarmRequest request)
    : context_(context),
      lease_(std::move(lease)),
      request_(std::move(request)),
      until_(Deadline::after(request_.max_time)) {}

Status PrewarmJob::begin() {
  auto request = request_;
  request.max_time = until_.left();
  if (begun_++ > 0) {
    if (begun_ == 2) context_.output.note("the daemon has ended: the prewarm goes on with the next one");
    // Waits until that is there, and starts a supervisor where there is none any more.
    auto lease = Lease::take(context_, false);
    if (!lease) return std::move(lease).error();
    lease_ = *std::move(lease);
    earlier_pulled_ = pulled_;
    earlier_bytes_ = bytes_;
    auto spent = static_cast<uint64_t>(bytes_);
    if (request.max_bytes > 0)
      request.max_bytes = std::max<uint64_t>(1, request.max_bytes - std::min(request.max_bytes, spent));
  }
  auto id = begin_prewarm(lease_.daemon(), request);
  if (!id) return std::move(id).error();
  id_ = *std::move(id);
  return Ok{};
}

Json PrewarmJob::with_earlier(Json progress) const {
  auto now = [&](const char* name) { return std::as_const(progress)[name].integer_or(0); };
  // What an earlier daemon pulled is here for this one.
  progress["here"] = std::max<int64_t>(0, now("here") - earlier_pulled_);
  progress["pulled"] = now("pulled") + earlier_pulled_;
  progress["bytes"] = now("bytes") + earlier_bytes_;
  return progress;
}

Result<Json> PrewarmJob::ask() {
  if (id_.empty()) {
    if (auto begun = begin(); !begun) return std::move(begun).error();
  }
  auto progress = prewarm_progress(lease_.daemon(), id_);
  if (!progress) return progress;
  auto all = with_earlier(*std::move(progress));
  pulled_ = std::as_const(all)["pulled"].integer_or(0);
  bytes_ = std::as_const(all)["bytes"].integer_or(0);
  return all;
}

Result<Json> PrewarmJob::progress() {
  while (true) {
    auto now = ask();
    bool refused = begun_ == 1 && id_.empty();  // as it was asked for
    if (now || refused || !was_restarted(now.error().code) || begun_ >= kMostBeginnings) return now;
    id_.clear();
    std::this_thread::sleep_for(kLook);
  }
}

Result<Json> PrewarmJob::end() {
  auto ended = end_prewarm(lease_.daemon(), id_);
  if (!ended) return ended;
  auto until = Deadline::after(kLastFigures);
  while (true) {
    auto last = ask();
    if (!last || std::as_const(*last)["done"].bool_or(false) || until.passed()) return last;
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace hitfs
