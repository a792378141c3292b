#include "sync/listener/cache_upload.h"

#include "store/base/backoff.h"
#include "store/base/guarded.h"
#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
constexpr Milliseconds kFirstPause{20};
constexpr Milliseconds kLongestPause{250};
// What a working daemon may take for the slowest disk: a minute, and a second for each 4 MiB.
constexpr Milliseconds kHandOver{60'000};
constexpr uint64_t kSlowestBytesPerSecond = 4 << 20;

HttpReply reply_for(const StoreReply& stored) {
  switch (stored.outcome) {
    case StoreOutcome::stored: return text_reply(200, "stored\n");
    case StoreOutcome::same: return text_reply(200, "already there\n");
    case StoreOutcome::different: return text_reply(409, "other bytes are stored under this hash\n");
    case StoreOutcome::refused: return text_reply(403, "refused: " + stored.why + "\n");
  }
  return text_reply(403, "not stored\n");
}

// An interruptible sleep: false when the stop came first.
bool pause(const std::stop_token& stop, Milliseconds time) {
  Guarded<bool> nothing;
  nothing.lock().wait_until(stop, Deadline::after(time).when(), [](bool) { return false; });
  return !stop.stop_requested();
}

// A whole body on its way to the daemon. Dropped unanswered (an orderly end) it says 403, and its file goes.
class HandOver {
 public:
  HandOver(const CacheParts& parts, Key key, std::unique_ptr<Upload> upload, HttpResponder responder)
      : ticket_(parts.work),
        parts_(parts),
        key_(std::move(key)),
        upload_(std::move(upload)),
        responder_(std::move(responder)),
        give_up_(Deadline::after(parts.daemon_patience)) {}
  ~HandOver() {
    if (!answered_) responder_.send(text_reply(403, "not stored: the cache is stopping\n"));
  }
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;

  void run() {
    auto stored = store_patiently();
    if (!stored) kLog.warn("upload not stored key={} error=\"{}\"", key_.text(), stored.error().message);
    // Before the answer, so that the client's next request finds no trace of a refused body.
    upload_.reset();
    answered_ = true;
    responder_.send(stored ? reply_for(*stored) : text_reply(403, "not stored: the cache cannot take it now\n"));
  }

 private:
  Result<StoreReply> store_patiently() {
    Backoff backoff(kFirstPause, kLongestPause);
    auto limit = kHandOver + Milliseconds(upload_->size() * 1000 / kSlowestBytesPerSecond);
    for (;;) {
      auto began = system_clock().now();
      auto stored = parts_.daemon.store(parts_.uploads.front(), upload_->name(), key_, Deadline::after(limit));
      if (stored || stored.error().code != Code::unavailable) return stored;
      // It was there and went away over this body: its successor gets the same patience.
      if (system_clock().now() - began > parts_.daemon_patience) give_up_ = Deadline::after(parts_.daemon_patience);
      if (give_up_.passed() || !pause(parts_.stop, backoff.next())) return stored;
    }
  }

  WorkCount::Ticket ticket_;
  const CacheParts& parts_;
  const Key key_;
  std::unique_ptr<Upload> upload_;
  HttpResponder responder_;
  Deadline give_up_;
  bool answered_ = false;
};

class UploadTransaction final : public HttpTransaction {
 public:
  UploadTransaction(const CacheParts& parts, Key key, uint64_t size) : parts_(parts), key_(std::move(key)) {
    auto begun = parts.uploads.begin(size);
    if (begun) {
      upload_ = *std::move(begun);
    } else {
      kLog.warn("upload not taken key={} error=\"{}\"", key_.text(), begun.error().message);
    }
  }

  Status body(std::span<const std::byte> bytes) override {
    auto written = upload_->write(bytes);
    if (written) return written;
    kLog.warn("upload not taken key={} error=\"{}\"", key_.text(), written.error().message);
    upload_.reset();
    return written;
  }

  void complete(HttpResponder responder) override {
    if (!upload_) return responder.send(text_reply(403, "not stored: the cache cannot take it now\n"));
    auto hand_over = std::make_shared<HandOver>(parts_, std::move(key_), std::move(upload_), std::move(responder));
    parts_.waiting.submit([hand_over] { hand_over->run(); });
  }

  bool body_may_block() const override { return true; }
  bool wants_body() const override { return upload_ != nullptr; }

 private:
  const CacheParts& parts_;
  Key key_;
  std::unique_ptr<Upload> upload_;
};

}  // namespace

std::unique_ptr<HttpTransaction> upload(const CacheParts& parts, const Key& key, uint64_t size) {
  return std::make_unique<UploadTransaction>(parts, key, size);
}

}  // namespace hitfs
