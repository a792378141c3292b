#include <fmt/core.h>

#include <filesystem>
#include <future>
#include <utility>

#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/lease.h"
#include "cli/units.h"
#include "store/codecs/codec.h"
#include "store/codecs/stored_contents.h"
#include "store/export_tree.h"
#include "store/store_reader.h"

namespace hitfs {

namespace {

constexpr Milliseconds kFetchLimit{3600 * 1000};
constexpr Milliseconds kRedraw{200};

// Draws how much of a pull is here.
void show_pull(const Json& status, const Key& key, Progress& progress) {
  for (const auto& pull : status["pulls"].items()) {
    if (pull["key"].text_or("") != key.text()) continue;
    auto received = static_cast<uint64_t>(pull["received_bytes"].integer_or(0));
    progress.update(received, static_cast<uint64_t>(pull["total_bytes"].integer_or(0)), format_size(received));
  }
}

// Waits for the daemon to have the entry here.
FetchReply fetch(DaemonClient& daemon, const Key& key, const Output& output) {
  Progress progress(output, "fetching");
  auto answered = std::make_shared<std::promise<FetchReply>>();
  auto answer = answered->get_future();
  daemon.fetch(key, kFetchLimit, [answered](FetchReply reply) { answered->set_value(std::move(reply)); });
  while (answer.wait_for(kRedraw) == std::future_status::timeout) {
    auto status = daemon.call("GET", "/v1/status", Json(), Deadline::after(kRedraw));
    if (status) show_pull(*status, key, progress);
  }
  return answer.get();
}

// An entry that is an artifact only, unpacked as its codec says.
Status unpack(const Entry& entry, StoreReader& reader, TreeSink& into) {
  if (!entry.artifact) return Error{Code::corrupt, "the entry has neither a tree nor an artifact"};
  StoredContents contents(reader);
  auto artifact = contents.open(Content(*entry.artifact));
  if (!artifact) return std::move(artifact).error();
  auto facts = codec_for(entry.key.space).unpack(**artifact, into);
  return facts ? Status(Ok{}) : Status(std::move(facts).error());
}

Status write(const Entry& entry, StoreReader& reader, const std::filesystem::path& path) {
  auto exporter = TreeExporter::open(path, TreeExporter::Existing::replace);
  if (!exporter) return std::move(exporter).error();
  auto manifest = reader.manifest(entry.id);
  if (!manifest) return std::move(manifest).error();
  Status written = Ok{};
  if ((*manifest)->view().size() > 0) {
    StoredContents contents(reader);
    written = export_tree((*manifest)->view(), contents, **exporter);
  } else {
    written = unpack(entry, reader, **exporter);
  }
  return written ? (*exporter)->commit() : written;
}

Result<Entry> get(const Context& context, const Key& key) {
  auto lease = Lease::take(context, false);
  if (!lease) return std::move(lease).error();
  auto reply = fetch(lease->daemon(), key, context.output);
  if (reply.outcome == FetchOutcome::absent) return Error{Code::not_found, "no cache has it"};
  if (reply.outcome != FetchOutcome::here) {
    return Error{Code::unavailable, reply.why.empty() ? "it could not be fetched" : reply.why};
  }
  auto reader = StoreReader::open(context.config.store);
  if (!reader) return std::move(reader).error();
  auto entry = (*reader)->find(key);
  if (!entry) return entry;
  if (auto written = write(*entry, **reader, context.arguments.path); !written) return std::move(written).error();
  return entry;
}

}  // namespace

int cmd_get(const Context& context) {
  auto key = Key::make("", context.arguments.space, context.arguments.name);
  if (!key) return context.output.fail(key.error());
  auto entry = get(context, *key);
  if (!entry) return context.output.fail(in_context("get " + key->text(), std::move(entry).error()));
  Json json;
  json["key"] = key->text();
  json["bytes"] = entry->bytes;
  json["files"] = entry->files;
  json["origin"] = entry->origin;
  context.output.value(json);
  context.output.line(fmt::format("{}: {} files, {}, from {}", key->text(), entry->files, format_size(entry->bytes),
                                  entry->origin == "local" ? "this machine" : entry->origin));
  return kDone;
}

}  // namespace hitfs
