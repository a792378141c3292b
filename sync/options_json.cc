#include "sync/options_json.h"

#include <array>
#include <limits>

namespace hitfs {

namespace {

// Reads the members of one object and remembers the first that is wrong.
class Members {
 public:
  Members(std::string_view of, const Json& json) : of_(of), json_(json) {
    if (!json.is_object()) fail("is no JSON object");
  }

  void read(std::string_view name, std::string& into) {
    const auto& value = json_[name];
    if (value.is_null()) return;
    if (!value.is_text()) return fail(name, "must be text");
    into = value.text_or("");
  }
  void read(std::string_view name, std::filesystem::path& into) {
    std::string text = into.string();
    read(name, text);
    into = text;
  }
  void read(std::string_view name, bool& into) {
    const auto& value = json_[name];
    if (value.is_null()) return;
    if (!(value == Json(true)) && !(value == Json(false))) return fail(name, "must be true or false");
    into = value.bool_or(false);
  }
  void read(std::string_view name, uint64_t& into) {
    if (auto number = integer(name, std::numeric_limits<int64_t>::max())) into = static_cast<uint64_t>(*number);
  }
  void read(std::string_view name, int& into) {
    if (auto number = integer(name, std::numeric_limits<int>::max())) into = static_cast<int>(*number);
  }
  void read(std::string_view name, Milliseconds& into) {
    if (auto number = integer(name, std::numeric_limits<int64_t>::max())) into = Milliseconds(*number);
  }
  void read(std::string_view name, std::vector<std::string>& into) {
    const auto& value = json_[name];
    if (value.is_null()) return;
    if (!value.is_array()) return fail(name, "must be a list");
    into.clear();
    for (const auto& item : value.items()) {
      if (!item.is_text()) return fail(name, "must be a list of texts");
      into.push_back(item.text_or(""));
    }
  }
  template <typename Value, typename Reader>
  void read(std::string_view name, Value& into, Reader reader) {
    const auto& value = json_[name];
    if (value.is_null() || error_) return;
    auto parsed = reader(value);
    if (!parsed) {
      error_ = in_context(std::string(of_) + "." + std::string(name), std::move(parsed).error());
      return;
    }
    into = *std::move(parsed);
  }

  template <typename Value>
  Result<Value> finish(Value value) {
    if (error_) return *std::move(error_);
    return value;
  }

 private:
  std::optional<int64_t> integer(std::string_view name, int64_t most) {
    const auto& value = json_[name];
    if (value.is_null()) return std::nullopt;
    int64_t number = value.integer_or(-1);
    if (number >= 0 && number <= most) return number;
    fail(name, "must be a whole number from 0 to " + std::to_string(most));
    return std::nullopt;
  }
  void fail(std::string_view name, const std::string& why) { fail("." + std::string(name) + " " + why); }
  void fail(const std::string& why) {
    if (!error_) error_ = Error{Code::invalid_argument, std::string(of_) + why};
  }

  std::string_view of_;
  const Json& json_;
  std::optional<Error> error_;
};

template <typename Value, size_t kCount>
Result<Value> named(const std::array<std::pair<std::string_view, Value>, kCount>& names, const Json& json) {
  auto text = json.text_or("");
  for (const auto& [name, value] : names) {
    if (name == text) return value;
  }
  return Error{Code::invalid_argument, "\"" + text + "\" is not known"};
}

constexpr std::array<std::pair<std::string_view, RemoteMode>, 4> kModes{{{"off", RemoteMode::off},
                                                                         {"read", RemoteMode::read},
                                                                         {"write", RemoteMode::write},
                                                                         {"readwrite", RemoteMode::readwrite}}};
constexpr std::array<std::pair<std::string_view, ListenerKind>, 2> kKinds{
    {{"loopback", ListenerKind::loopback}, {"serve", ListenerKind::serve}}};

Result<std::vector<RemoteOptions>> remotes_from(const Json& json) {
  std::vector<RemoteOptions> remotes;
  for (const auto& item : json.items()) {
    auto remote = remote_options_from(item);
    if (!remote) return std::move(remote).error();
    remotes.push_back(*std::move(remote));
  }
  return remotes;
}

}  // namespace

std::string_view to_string(RemoteMode mode) {
  switch (mode) {
    case RemoteMode::off: return "off";
    case RemoteMode::read: return "read";
    case RemoteMode::write: return "write";
    case RemoteMode::readwrite: return "readwrite";
  }
  return "off";
}

Json to_json(const RemoteOptions& options) {
  return Json::Object{{"name", options.name},
                      {"url", options.url},
                      {"mode", to_string(options.mode)},
                      {"token", options.token},
                      {"ca_file", options.ca_file},
                      {"verify_tls", options.verify_tls},
                      {"allow_insecure_token", options.allow_insecure_token},
                      {"parallel_fetches", options.parallel_fetches},
                      {"parallel_pushes", options.parallel_pushes}};
}

Json to_json(const Patience& patience) {
  return Json::Object{{"connect_ms", patience.connect.count()},
                      {"first_byte_ms", patience.first_byte.count()},
                      {"stall_ms", patience.stall.count()},
                      {"session_budget_ms", patience.session_budget.count()}};
}

Json to_json(const StoreLimits& limits) {
  return Json::Object{{"max_bytes", limits.max_bytes}, {"max_files", limits.max_files}};
}

Json to_json(const DaemonOptions& options) {
  Json::Array remotes;
  for (const auto& remote : options.remotes) remotes.push_back(to_json(remote));
  return Json::Object{{"store", options.store.root.string()},
                      {"limits", to_json(options.limits)},
                      {"remotes", std::move(remotes)},
                      {"patience", to_json(options.patience)},
                      {"generation", options.generation},
                      {"max_artifact_bytes", options.max_artifact_bytes},
                      {"max_unpacked_bytes", options.max_unpacked_bytes},
                      {"continuous_integration", options.continuous_integration},
                      {"on_push_failed", options.on_push_failed}};
}

Json to_json(const ListenerOptions& options) {
  Json::Array hosts;
  for (const auto& host : options.allowed_hosts) hosts.push_back(host);
  return Json::Object{{"store", options.store.root.string()},
                      {"kind", options.kind == ListenerKind::serve ? "serve" : "loopback"},
                      {"address", options.address},
                      {"loopback_token", options.loopback_token},
                      {"tokens_file", options.tokens_file},
                      {"tls_certificate_file", options.tls_certificate_file},
                      {"tls_key_file", options.tls_key_file},
                      {"allowed_hosts", std::move(hosts)},
                      {"max_artifact_bytes", options.max_artifact_bytes},
                      {"daemon_patience_ms", options.daemon_patience.count()}};
}

Result<RemoteOptions> remote_options_from(const Json& json) {
  RemoteOptions options;
  Members members("remote", json);
  members.read("name", options.name);
  members.read("url", options.url);
  members.read("mode", options.mode, [](const Json& value) { return named(kModes, value); });
  members.read("token", options.token);
  members.read("ca_file", options.ca_file);
  members.read("verify_tls", options.verify_tls);
  members.read("allow_insecure_token", options.allow_insecure_token);
  members.read("parallel_fetches", options.parallel_fetches);
  members.read("parallel_pushes", options.parallel_pushes);
  return members.finish(std::move(options));
}

Result<Patience> patience_from(const Json& json) {
  Patience patience;
  Members members("patience", json);
  members.read("connect_ms", patience.connect);
  members.read("first_byte_ms", patience.first_byte);
  members.read("stall_ms", patience.stall);
  members.read("session_budget_ms", patience.session_budget);
  return members.finish(patience);
}

Result<StoreLimits> store_limits_from(const Json& json) {
  StoreLimits limits;
  Members members("limits", json);
  members.read("max_bytes", limits.max_bytes);
  members.read("max_files", limits.max_files);
  return members.finish(limits);
}

Result<DaemonOptions> daemon_options_from(const Json& json) {
  DaemonOptions options;
  Members members("daemon", json);
  members.read("store", options.store.root);
  members.read("limits", options.limits, store_limits_from);
  members.read("remotes", options.remotes, remotes_from);
  members.read("patience", options.patience, patience_from);
  members.read("generation", options.generation);
  members.read("max_artifact_bytes", options.max_artifact_bytes);
  members.read("max_unpacked_bytes", options.max_unpacked_bytes);
  members.read("continuous_integration", options.continuous_integration);
  members.read("on_push_failed", options.on_push_failed);
  return members.finish(std::move(options));
}

Result<ListenerOptions> listener_options_from(const Json& json) {
  ListenerOptions options;
  Members members("listener", json);
  members.read("store", options.store.root);
  members.read("kind", options.kind, [](const Json& value) { return named(kKinds, value); });
  members.read("address", options.address);
  members.read("loopback_token", options.loopback_token);
  members.read("tokens_file", options.tokens_file);
  members.read("tls_certificate_file", options.tls_certificate_file);
  members.read("tls_key_file", options.tls_key_file);
  members.read("allowed_hosts", options.allowed_hosts);
  members.read("max_artifact_bytes", options.max_artifact_bytes);
  members.read("daemon_patience_ms", options.daemon_patience);
  return members.finish(std::move(options));
}

}  // namespace hitfs
