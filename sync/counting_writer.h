#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "sync/local_work.h"
#include "sync/remotes/remote.h"

namespace hitfs {

// How far one pull is. Written by its own thread, read by others.
struct PullProgress {
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> total{0};  // 0: not known
  std::atomic<bool> asked{true};   // somebody asked for this entry; else it is being prewarmed
};

// Passes on what a remote delivers, and counts it: in sum while somebody asks for it, so that the fetcher can tell
// transfer from waiting, and for who watches this pull; what is done here with what has arrived is `here`. All outlive
// it. One thread.
class CountingWriter final : public EntryWriter, private ByteSink {
 public:
  CountingWriter(EntryWriter& inner, std::atomic<uint64_t>& sum, PullProgress& progress, LocalWork& here)
      : inner_(inner), sum_(sum), progress_(progress), here_(here) {}

  Result<ByteSink*> artifact(std::optional<uint64_t> size) override {
    progress_.bytes = 0;
    progress_.total = size.value_or(0);
    return counted(inner_.artifact(size));
  }
  Result<bool> has_blob(const Digest& digest) override { return inner_.has_blob(digest); }
  Result<ByteSink*> blob(const Digest& digest) override {
    const LocalWork::Part ending_the_last(here_);
    return counted(inner_.blob(digest));
  }
  Status tree(ManifestBuilder tree, const ManifestHeader& header) override {
    const LocalWork::Part ending_the_last(here_);
    return inner_.tree(std::move(tree), header);
  }

 private:
  Result<ByteSink*> counted(Result<ByteSink*> sink) {
    if (!sink) return sink;
    sink_ = *sink;
    return static_cast<ByteSink*>(this);
  }
  Status write(std::span<const std::byte> bytes) override {
    if (progress_.asked) sum_ += bytes.size();
    progress_.bytes += bytes.size();
    const LocalWork::Part writing(here_);
    return sink_->write(bytes);
  }

  EntryWriter& inner_;
  std::atomic<uint64_t>& sum_;
  PullProgress& progress_;
  LocalWork& here_;
  ByteSink* sink_ = nullptr;
};

}  // namespace hitfs
