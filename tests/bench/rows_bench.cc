#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "fs/nx/row_database.h"
#include "store/base/clock.h"
#include "tests/support/temp_dir.h"

// Rows of nx's shared database: what filling a new one costs, and how long an nx that looks something up meanwhile (a
// lookup is a write) has to wait. By hand: build/bench_rows.
namespace hitfs {
namespace {

template <typename T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::cerr << "bench_rows: " << result.error().message << "\n";
  std::exit(1);
}

constexpr const char* kVersion = "24.0.6";
constexpr std::string_view kLookup = "UPDATE cache_outputs SET accessed_at = CURRENT_TIMESTAMP WHERE hash = ?";

std::vector<std::string> hashes(size_t count) {
  std::vector<std::string> all;
  for (size_t i = 0; i < count; ++i) all.push_back(std::to_string(i * 184'467'440'737'095ULL + 7'000'000'000'000'000));
  return all;
}

// Looks up again and again, as a build with many tasks does, and keeps the longest time.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path)
      : database_(must(sqlite::Database::open(path, sqlite::Access::read_write, Milliseconds(60'000)))),
        thread_([this](const std::stop_token& stop) { run(stop); }) {}
  double longest_ms() {
    thread_ = {};
    return std::chrono::duration<double, std::milli>(longest_).count();
  }
  [[nodiscard]] size_t lookups() const { return lookups_; }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      auto begun = system_clock().now();
      must(database_->run(kLookup, {std::string_view("7")}));
      longest_ = std::max<Nanoseconds>(longest_, system_clock().now() - begun);
      ++lookups_;
      std::this_thread::sleep_for(Milliseconds(1));
    }
  }
  std::unique_ptr<sqlite::Database> database_;
  Nanoseconds longest_{};
  std::atomic<size_t> lookups_{0};
  std::jthread thread_;
};

void fill(benchmark::State& state) {
  const auto rows = hashes(static_cast<size_t>(state.range(0)));
  double longest = 0;
  size_t lookups = 0;
  for (auto _ : state) {
    state.PauseTiming();
    testing::TempDir dir;
    must(fs::make_shared_database(dir.path(), kVersion));
    const auto path = dir / *fs::shared_database_of(kVersion);
    auto database = must(fs::NxDatabase::open(path, sqlite::Access::read_write));
    Reader reader(path);
    state.ResumeTiming();
    must(database.put(rows));
    state.PauseTiming();
    longest = std::max(longest, reader.longest_ms());
    lookups += reader.lookups();
    state.ResumeTiming();
  }
  state.counters["longest_lookup_ms"] = longest;
  state.counters["lookups"] = static_cast<double>(lookups);
}
BENCHMARK(fill)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMillisecond)->Iterations(5)->UseRealTime();

}  // namespace
}  // namespace hitfs

BENCHMARK_MAIN();
