#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <charconv>
#include <clocale>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "store/base/io.h"
#include "store/codecs/codec.h"
#include "store/codecs/intake_sink.h"
#include "store/codecs/stored_contents.h"
#include "store/entry_store.h"
#include "store/store_reader.h"
#include "tests/support/temp_dir.h"

// What of the store itself is worth a figure: packing and unpacking an entry, finding a key, opening. Scenarios of
// tests/bench/run.sh call it; by hand: build/bench_store (see --help of Google Benchmark), and
//   bench_store --fill=FOLDER --entries=N    makes a store with N small entries and ends.
namespace hitfs {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void die(const Error& error) {
  std::cerr << "bench_store: " << error.message << "\n";
  std::exit(1);
}

template <typename T>
T must(Result<T> result) {
  if (!result) die(result.error());
  return std::move(*result);
}

std::unique_ptr<EntryStore> open_store(const fs::path& root) { return must(EntryStore::open(StorePaths{root}, {})); }

ManifestHeader header_of(const std::string& name, EntryKind kind) {
  ManifestHeader header;
  header.key = must(Key::make("", "flat", name));
  header.kind = kind;
  return header;
}

// The tree of HITFS_BENCH_TREE, else a small one that is made here.
fs::path source_tree(const testing::TempDir& scratch) {
  if (const char* named = std::getenv("HITFS_BENCH_TREE"); named != nullptr) return named;
  const fs::path tree = scratch / "tree";
  for (int i = 0; i < 1000; ++i) {
    const fs::path folder = tree / std::to_string(i / 100);
    fs::create_directories(folder);
    std::ofstream out(folder / std::to_string(i));
    for (int line = 0; line < 700; ++line) out << "line " << line << " of file " << i << ": some text to compress\n";
  }
  return tree;
}

// Feeds a folder to a sink as unpacking an artifact would.
void feed(const fs::path& root, TreeSink& sink) {
  if (auto begun = sink.root(false, 0755, 0); !begun) die(begun.error());
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string path = fs::relative(entry->path(), root).string();
    if (entry->is_directory()) {
      if (auto added = sink.directory(path, 0755, 0); !added) die(added.error());
      continue;
    }
    const std::string bytes = must(io::read_file(entry->path(), 1 << 30));
    ByteSink* file = must(sink.begin_file(path, 0644, 0, bytes.size()));
    if (auto written = file->write(io::as_bytes(bytes)); !written) die(written.error());
    if (auto ended = sink.end_file(); !ended) die(ended.error());
  }
}

uint64_t commit_tree(EntryStore& store, const fs::path& tree, const std::string& name) {
  auto intake = store.begin();
  IntakeSink sink(*intake);
  feed(tree, sink);
  return must(intake->commit(sink.tree(), header_of(name, EntryKind::directory), {})).entry_id;
}

class CountingSink : public ByteSink {
 public:
  Status write(std::span<const std::byte> bytes) override {
    count += bytes.size();
    return Ok{};
  }
  uint64_t count = 0;
};

class MemorySink : public ByteSink {
 public:
  Status write(std::span<const std::byte> bytes) override {
    text.append(io::as_text(bytes));
    return Ok{};
  }
  std::string text;
};

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string_view text) : left_(text) {}
  Result<size_t> read(std::span<std::byte> into) override {
    const size_t taken = std::min(into.size(), left_.size());
    std::copy_n(io::as_bytes(left_).begin(), taken, into.begin());
    left_.remove_prefix(taken);
    return taken;
  }
  [[nodiscard]] std::optional<uint64_t> size() const override { return std::nullopt; }

 private:
  std::string_view left_;
};

void BM_Pack(benchmark::State& state) {
  const testing::TempDir scratch;
  auto store = open_store(scratch / "store");
  const uint64_t id = commit_tree(*store, source_tree(scratch), "packed");
  const auto manifest = must(store->reader().manifest(id));
  StoredContents contents(store->reader());
  uint64_t packed = 0;
  for (auto _ : state) {
    CountingSink sink;
    if (auto done = codec_for("flat").pack(manifest->view(), contents, sink); !done) die(done.error());
    packed = sink.count;
  }
  state.counters["files"] = manifest->view().total_files();
  state.counters["packed_bytes"] = static_cast<double>(packed);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * manifest->view().total_bytes()));
}
BENCHMARK(BM_Pack)->Unit(benchmark::kMillisecond);

void BM_UnpackIntoStore(benchmark::State& state) {
  const testing::TempDir scratch;
  auto store = open_store(scratch / "store");
  const uint64_t id = commit_tree(*store, source_tree(scratch), "source");
  const auto manifest = must(store->reader().manifest(id));
  StoredContents contents(store->reader());
  MemorySink artifact;
  if (auto packed = codec_for("flat").pack(manifest->view(), contents, artifact); !packed) die(packed.error());
  int round = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto empty = open_store(scratch / ("into-" + std::to_string(round++)));
    state.ResumeTiming();
    auto intake = empty->begin();
    IntakeSink sink(*intake);
    MemorySource source(artifact.text);
    if (auto facts = codec_for("flat").unpack(source, sink); !facts) die(facts.error());
    must(intake->commit(sink.tree(), header_of("unpacked", EntryKind::directory), {}));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * manifest->view().total_bytes()));
}
BENCHMARK(BM_UnpackIntoStore)->Unit(benchmark::kMillisecond)->UseRealTime();

// `count` entries of one small file each.
void fill(const fs::path& root, uint64_t count) {
  auto store = open_store(root);
  for (uint64_t i = 0; i < count; ++i) {
    auto intake = store->begin();
    const std::string bytes = "the content of entry " + std::to_string(i);
    ByteSink* blob = must(intake->begin_blob(bytes.size()));
    if (auto written = blob->write(io::as_bytes(bytes)); !written) die(written.error());
    const Digest digest = must(intake->end_blob());
    ManifestBuilder tree;
    tree.root_file(0644, 0, bytes.size(), digest);
    must(intake->commit(tree, header_of("entry-" + std::to_string(i), EntryKind::file), {}));
  }
}

uint64_t resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtoull(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

// A store of HITFS_BENCH_STORE (bench_store --fill), else a small one.
void BM_OpenStore(benchmark::State& state) {
  const testing::TempDir scratch;
  const char* named = std::getenv("HITFS_BENCH_STORE");
  const fs::path root = named != nullptr ? fs::path(named) : scratch / "store";
  if (named == nullptr) fill(root, 1000);
  uint64_t entries = 0;
  const uint64_t before = resident_kib();
  uint64_t after = before;
  for (auto _ : state) {
    auto store = open_store(root);
    state.PauseTiming();
    entries = store->stats().entries;
    after = std::max(after, resident_kib());
    store.reset();
    state.ResumeTiming();
  }
  state.counters["entries"] = static_cast<double>(entries);
  state.counters["added_rss_kib"] = static_cast<double>(after - before);
}
BENCHMARK(BM_OpenStore)->Unit(benchmark::kMillisecond);

void BM_FindEntry(benchmark::State& state) {
  const testing::TempDir scratch;
  const char* named = std::getenv("HITFS_BENCH_STORE");
  const fs::path root = named != nullptr ? fs::path(named) : scratch / "store";
  if (named == nullptr) fill(root, 1000);
  auto store = open_store(root);
  const uint64_t entries = store->stats().entries;
  uint64_t i = 0;
  for (auto _ : state) {
    i = (i + 7919) % entries;
    benchmark::DoNotOptimize(must(store->reader().find(must(Key::make("", "flat", "entry-" + std::to_string(i))))));
  }
}
BENCHMARK(BM_FindEntry)->Unit(benchmark::kMicrosecond);

// "--NAME=VALUE" among the arguments, or nullptr.
const char* option(int argc, char** argv, std::string_view name) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(name)) return argv[i] + name.size();
  }
  return nullptr;
}

}  // namespace
}  // namespace hitfs

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "C.UTF-8");
  if (const char* folder = hitfs::option(argc, argv, "--fill="); folder != nullptr) {
    const char* entries = hitfs::option(argc, argv, "--entries=");
    hitfs::fill(folder, entries != nullptr ? std::strtoull(entries, nullptr, 10) : 1000);
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
