#include "sync/listener/cache_lookup.h"

#include <sys/stat.h>

#include "store/base/log.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::sync};
// One question to the daemon waits so long; then it is asked again, so that a daemon that got stuck is noticed.
constexpr Milliseconds kQuestion{10'000};
// The daemon ends a pull that stands still much earlier; this only bounds a bug.
constexpr Milliseconds kLongest = std::chrono::hours(2);
// Packing a tree of the largest size from a slow disk.
constexpr Milliseconds kPacking = std::chrono::minutes(10);

// An entry without its wire form has to be packed by the daemon first.
bool needs_packing(const Entry& entry) { return !entry.artifact; }

// nx 20.8 to 22.6 read every exit code of an artifact as 0, so a stored failure would become a success. The
// daemon refuses them at intake; an entry from elsewhere (a mount) may still have one.
bool may_be_served(const Entry& entry) { return entry.exit_code == 0; }

std::optional<FileBody> open_artifact(StoreReader& reader, const Digest& artifact) {
  auto location = reader.locate(artifact);
  if (!location) {
    kLog.warn("artifact not readable digest={} error=\"{}\"", artifact.text(), location.error().message);
    return std::nullopt;
  }
  // A cut body fails a build, so the length must be there before the 200 is sent.
  struct stat info {};
  bool whole = ::fstat(location->file.get(), &info) == 0 &&
               static_cast<uint64_t>(info.st_size) >= location->offset + artifact.size;
  if (!whole) {
    kLog.warn("artifact shorter than it must be digest={}: run `hitfs verify`", artifact.text());
    return std::nullopt;
  }
  return FileBody{std::move(location->file), location->offset, artifact.size};
}

std::optional<HttpReply> artifact_reply(StoreReader& reader, const Entry& entry) {
  if (needs_packing(entry) || !may_be_served(entry)) return std::nullopt;
  auto body = open_artifact(reader, *entry.artifact);
  if (!body) return std::nullopt;
  HttpReply reply;
  reply.headers.emplace_back("Content-Type", "application/octet-stream");
  reply.file = *std::move(body);
  return reply;
}

std::optional<Entry> find(StoreReader& reader, const Key& key) {
  auto entry = reader.find(key);
  if (entry) return *std::move(entry);
  if (entry.error().code != Code::not_found) {
    kLog.warn("lookup key={} error=\"{}\"", key.text(), entry.error().message);
  }
  return std::nullopt;
}

// One GET. It lives in the callbacks that it waits for; dropped by them unanswered (an orderly end) it is a miss.
class Lookup : public std::enable_shared_from_this<Lookup> {
 public:
  Lookup(const CacheParts& parts, std::vector<Key> keys, HttpResponder responder)
      : ticket_(parts.work),
        parts_(parts),
        keys_(std::move(keys)),
        responder_(std::move(responder)),
        until_(Deadline::after(kLongest)) {}
  ~Lookup() {
    if (!answered_) responder_.send(text_reply(404, "not found\n"));
  }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  void start() {
    for (const auto& key : keys_) {
      if (auto entry = find(parts_.reader, key)) return serve(*entry);
    }
    ask_daemon(0);
  }

 private:
  void serve(const Entry& entry) {
    if (needs_packing(entry) && may_be_served(entry)) return pack(entry.key);
    auto reply = artifact_reply(parts_.reader, entry);
    if (!reply) return miss();
    parts_.uses.add({entry.key, entry.id, true});
    answer(*std::move(reply));
  }

  void pack(const Key& key) {
    parts_.waiting.submit([self = shared_from_this(), key] {
      auto packed = self->parts_.daemon.call("POST", "/v1/artifact", Json::Object{{"key", key.text()}},
                                             Deadline::after(kPacking));
      if (!packed) {
        kLog.debug("pack key={} error=\"{}\"", key.text(), packed.error().message);
        return self->miss();
      }
      auto entry = find(self->parts_.reader, key);
      if (!entry || needs_packing(*entry)) return self->miss();
      self->serve(*entry);
    });
  }

  void ask_daemon(size_t index) {
    if (index == keys_.size() || until_.passed() || parts_.stop.stop_requested()) return miss();
    parts_.daemon.fetch(keys_[index], kQuestion, [self = shared_from_this(), index](const FetchReply& reply) {
      self->parts_.quick.submit([self, index, reply] { self->fetched(index, reply); });
    });
  }

  void fetched(size_t index, const FetchReply& reply) {
    switch (reply.outcome) {
      case FetchOutcome::pending: return ask_daemon(index);
      case FetchOutcome::absent: return ask_daemon(index + 1);
      case FetchOutcome::unavailable:
        kLog.debug("fetch key={} why=\"{}\"", keys_[index].text(), reply.why);
        return ask_daemon(index + 1);
      case FetchOutcome::here: break;
    }
    auto entry = find(parts_.reader, keys_[index]);
    if (!entry) return miss();
    serve(*entry);
  }

  void miss() {
    parts_.uses.add({keys_.front(), 0, false});
    answer(text_reply(404, "not found\n"));
  }

  void answer(HttpReply reply) {
    answered_ = true;
    responder_.send(std::move(reply));
  }

  WorkCount::Ticket ticket_;
  const CacheParts& parts_;
  const std::vector<Key> keys_;
  HttpResponder responder_;
  const Deadline until_;
  bool answered_ = false;
};

class LookupTransaction final : public HttpTransaction {
 public:
  LookupTransaction(const CacheParts& parts, std::vector<Key> keys) : parts_(parts), keys_(std::move(keys)) {}

  Status body(std::span<const std::byte>) override { return Ok{}; }
  void complete(HttpResponder responder) override {
    std::make_shared<Lookup>(parts_, std::move(keys_), std::move(responder))->start();
  }
  bool wants_body() const override { return false; }

 private:
  const CacheParts& parts_;
  std::vector<Key> keys_;
};

}  // namespace

std::unique_ptr<HttpTransaction> look_up(const CacheParts& parts, std::vector<Key> keys) {
  return std::make_unique<LookupTransaction>(parts, std::move(keys));
}

std::optional<HttpReply> local_artifact(const CacheParts& parts, const Key& key) {
  auto entry = find(parts.reader, key);
  return entry ? artifact_reply(parts.reader, *entry) : std::nullopt;
}

}  // namespace hitfs
