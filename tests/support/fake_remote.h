#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/guarded.h"
#include "store/base/io.h"
#include "store/text_stream.h"
#include "sync/remote_set.h"
#include "sync/remotes/remote.h"

namespace hitfs::testing {

// A remote in memory, with a place to put faults in. Safe from several threads.
class FakeRemote final : public Remote {
 public:
  // Runs before each call with its verb ("fetch", "store"); an Error ends the call with it. May block.
  std::function<Status(const std::string& verb, RemoteCall& call)> before = [](const auto&, auto&) { return Ok{}; };
  // Runs in a fetch when half of the bytes are delivered.
  std::function<void()> halfway = [] {};
  StoreResult store_result = StoreResult::stored;
  bool first_wins = false;  // a name that is there keeps its bytes, as a server does that says 409

  void put(const std::string& name, const std::string& bytes) { state_.lock()->entries[name] = bytes; }
  [[nodiscard]] std::optional<std::string> get(const std::string& name) {
    auto state = state_.lock();
    auto found = state->entries.find(name);
    if (found == state->entries.end()) return std::nullopt;
    return found->second;
  }
  [[nodiscard]] int calls(const std::string& verb) { return state_.lock()->calls[verb]; }
  // The names in the order in which they were stored.
  [[nodiscard]] std::vector<std::string> stored_order() { return state_.lock()->stored_order; }

  Status fetch(const RemoteKey& key, EntryWriter& out, RemoteCall& call) override {
    if (auto allowed = begin("fetch", call); !allowed) return allowed;
    auto bytes = get(key.name);
    if (!bytes) return Error{Code::not_found, "miss"};
    auto sink = out.artifact(bytes->size());
    if (!sink) return std::move(sink).error();
    auto all = io::as_bytes(*bytes);
    if (auto written = (*sink)->write(all.first(all.size() / 2)); !written) return written;
    halfway();
    return (*sink)->write(all.subspan(all.size() / 2));
  }

  Result<StoreResult> store(const RemoteKey& key, EntryReader& entry, RemoteCall& call) override {
    if (auto allowed = begin("store", call); !allowed) return std::move(allowed).error();
    auto source = entry.artifact();
    if (!source) return std::move(source).error();
    auto bytes = read_text(**source, SIZE_MAX);
    if (!bytes) return std::move(bytes).error();
    auto state = state_.lock();
    if (first_wins && state->entries.contains(key.name)) return StoreResult::already_there;
    state->entries[key.name] = *bytes;
    state->stored_order.push_back(key.name);
    return store_result;
  }

  Result<bool> contains(const RemoteKey& key, RemoteCall& call) override {
    if (auto allowed = begin("contains", call); !allowed) return std::move(allowed).error();
    return get(key.name).has_value();
  }
  Status remove(const RemoteKey& key, RemoteCall&) override {
    state_.lock()->entries.erase(key.name);
    return Ok{};
  }
  std::string_view own_space() const override { return "nx"; }
  std::string describe() const override { return "fake"; }

 private:
  Status begin(const std::string& verb, RemoteCall& call) {
    ++state_.lock()->calls[verb];
    return before(verb, call);
  }

  struct State {
    std::map<std::string, std::string> entries;
    std::map<std::string, int> calls;
    std::vector<std::string> stored_order;
  };
  Guarded<State> state_;
};

// A remote of a RemoteSet around `fake`, which it owns.
inline std::unique_ptr<ConfiguredRemote> configured(const std::string& name, std::unique_ptr<FakeRemote> fake,
                                                    RemoteMode mode = RemoteMode::readwrite) {
  auto remote = std::make_unique<ConfiguredRemote>();
  remote->options.name = name;
  remote->options.mode = mode;
  remote->options.parallel_pushes = 1;
  remote->remote = std::make_unique<GuardedRemote>(std::move(fake), GuardedRemote::Options{});
  return remote;
}

}  // namespace hitfs::testing
