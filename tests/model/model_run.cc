#include "tests/model/model_run.h"

#include <algorithm>
#include <sstream>

namespace hitfs::testing {

namespace {

// One step on both sides; "" when they agree.
std::string compare(Pair& pair, const Operation& operation, Tally& tally) {
  auto expected = pair.model.apply(operation);
  auto seen = pair.subject->apply(operation);
  if (expected.error == 0 && seen.error == 0) {
    ++tally.succeeded;
    ++tally.done[operation.act];
  }
  for (size_t slot : pair.model.take_doubtful()) {
    Operation close;
    close.act = Act::close;
    close.slot = slot;
    pair.model.apply(close);
    pair.subject->apply(close);
  }
  return difference(expected, seen);
}

std::string look_at_everything(Pair& pair, Tally& tally) {
  for (auto look : pair.model.look_at_everything()) {
    look.offset = tally.looks++;
    auto expected = pair.model.apply(look);
    auto differs = difference(expected, pair.subject->apply(look));
    if (!differs.empty()) return look.text() + ": " + differs;
  }
  return "";
}

// A long sequence is looked at from time to time, a short one after each step.
constexpr size_t kFew = 50;

bool is_around(Act act) { return act >= Act::restart; }

std::vector<Operation> without(const std::vector<Operation>& steps, size_t begin, size_t count) {
  auto fewer = steps;
  auto first = fewer.begin() + static_cast<ptrdiff_t>(begin);
  fewer.erase(first, first + static_cast<ptrdiff_t>(std::min(count, steps.size() - begin)));
  return fewer;
}

}  // namespace

std::string OperationChooser::some(const std::vector<std::string>& paths) {
  return paths.empty() ? "" : paths[any(paths.size())];
}

// A name that may be there or not, in a folder that mostly is.
std::string OperationChooser::place(const ModelTree& model) {
  auto folders = model.paths(FileType::directory);
  auto folder = any(3) == 0 ? "" : some(folders);
  constexpr size_t kDeepest = 4;
  if (static_cast<size_t>(std::count(folder.begin(), folder.end(), '/')) >= kDeepest) folder.clear();
  if (folder.empty()) return names_.top[any(names_.top.size())];
  return folder + "/" + static_cast<char>('p' + any(4));
}

// A path that is there, but for one in eight.
std::string OperationChooser::target(const ModelTree& model) {
  auto type = std::array{FileType::file, FileType::file, FileType::directory, FileType::symlink}[any(4)];
  auto path = any(8) == 0 ? "" : some(model.paths(type));
  return path.empty() ? place(model) : path;
}

Act OperationChooser::act() {
  static constexpr std::array kActs = {
      Act::create,
      Act::create,
      Act::create,
      Act::make_directory,
      Act::make_directory,
      Act::make_symlink,
      Act::write,
      Act::write,
      Act::write,
      Act::append,
      Act::truncate,
      Act::set_mode,
      Act::set_time,
      Act::unlink,
      Act::unlink,
      Act::unlink,
      Act::remove_directory,
      Act::rename,
      Act::rename,
      Act::rename,
      Act::rename,
      Act::rename,
      Act::rename,
      Act::list,
      Act::look,
      Act::look,
      Act::sync_file,
      Act::open,
      Act::open,
      Act::close,
      Act::write_open,
      Act::write_open,
      Act::look_open,
      Act::truncate_open,
  };
  return kActs[any(kActs.size())];
}

Operation OperationChooser::next(const ModelTree& model) {
  Operation operation;
  operation.offset = any(names_.largest + 3);
  operation.size = 1 + any(names_.largest);
  operation.byte = static_cast<char>('A' + any(26));
  operation.slot = any(kSlots);
  operation.again = any(20) == 0;
  if (!names_.around.empty() && any(names_.around_every) == 0) {
    around(operation, model);
    return operation;
  }
  operation.act = act();
  bool makes = operation.act <= Act::make_symlink;
  bool names = operation.act < Act::close && operation.act != Act::sync_root;
  if (names) operation.path = makes ? place(model) : target(model);
  if (operation.act == Act::list && any(3) == 0) operation.path.clear();
  bool directory = operation.act == Act::make_directory;
  operation.mode = directory ? 0755 : std::array<uint16_t, 4>{0644, 0755, 0600, 0700}[any(4)];
  if (operation.act == Act::set_mode) operation.mode = any(2) == 0 ? 0755 : 0700;
  operation.time_ns = static_cast<int64_t>(1'400'000'000 + any(100'000'000)) * 1'000'000'000 + 123'456'789;
  if (operation.act == Act::rename) {
    operation.to = any(3) == 0 ? target(model) : place(model);
    size_t how = any(10);
    if (how == 0) operation.how = RenameHow::no_replace;
    if (how == 1 && names_.exchange) operation.how = RenameHow::exchange;
  }
  operation.again = operation.again && (makes || operation.act == Act::unlink || operation.act == Act::rename);
  return operation;
}

void OperationChooser::around(Operation& operation, const ModelTree& model) {
  operation.act = names_.around[any(names_.around.size())];
  operation.again = false;
  if (operation.act == Act::daemon_away && model.is_away()) operation.act = Act::daemon_back;
  if (operation.act == Act::evict || operation.act == Act::arrive) {
    operation.path = names_.entries[any(names_.entries.size())];
  }
}

std::optional<Mismatch> run_chosen(const MakePair& make, OperationChooser& chooser, size_t steps, size_t every,
                                   Tally& tally) {
  auto pair = make();
  Mismatch mismatch;
  for (size_t i = 0; i < steps; ++i) {
    mismatch.steps.push_back(chooser.next(pair.model));
    const auto& operation = mismatch.steps.back();
    ++tally.steps;
    tally.around += is_around(operation.act);
    mismatch.what = compare(pair, operation, tally);
    if (mismatch.what.empty() && (i % every == 0 || i + 1 == steps)) mismatch.what = look_at_everything(pair, tally);
    if (!mismatch.what.empty()) return mismatch;
  }
  tally.entries += pair.model.entries();
  return std::nullopt;
}

std::optional<Mismatch> run_given(const MakePair& make, const std::vector<Operation>& steps) {
  auto pair = make();
  Tally tally;
  for (size_t i = 0; i < steps.size(); ++i) {
    auto what = compare(pair, steps[i], tally);
    bool looks = i + 1 == steps.size() || steps.size() < kFew || i % kFew == 0;
    if (what.empty() && looks) what = look_at_everything(pair, tally);
    if (what.empty()) continue;
    return Mismatch{{steps.begin(), steps.begin() + static_cast<ptrdiff_t>(i) + 1}, what};
  }
  return std::nullopt;
}

Mismatch shrink(const MakePair& make, Mismatch mismatch, std::chrono::seconds limit) {
  auto until = std::chrono::steady_clock::now() + limit;
  auto in_time = [until] { return std::chrono::steady_clock::now() < until; };
  auto piece = std::max<size_t>(1, mismatch.steps.size() / 2);
  while (in_time()) {
    bool shorter = false;
    for (size_t begin = 0; begin < mismatch.steps.size() && in_time();) {
      auto fewer = run_given(make, without(mismatch.steps, begin, piece));
      if (!fewer) {
        begin += piece;
        continue;
      }
      mismatch = *std::move(fewer);
      shorter = true;
    }
    if (piece == 1 && !shorter) break;
    piece = std::max<size_t>(1, piece / 2);
  }
  return mismatch;
}

std::string text_of(const Tally& tally, uint64_t sequences, double seconds) {
  std::ostringstream text;
  text << "[ drill    ] " << tally.steps << " steps in " << sequences << " sequences, " << tally.succeeded
       << " succeeded, " << tally.around << " around the mount, " << tally.looks << " looks, " << tally.entries
       << " entries at their ends, " << seconds << " s\n[ drill    ]";
  for (const auto& [act, count] : tally.done) {
    Operation operation;
    operation.act = act;
    text << " " << operation.text() << " " << count;
  }
  return text.str() + "\n";
}

std::string text_of(const Mismatch& mismatch) {
  std::string text;
  for (const auto& step : mismatch.steps) text += "  " + step.text() + "\n";
  return text + "  => " + mismatch.what + "\n";
}

}  // namespace hitfs::testing
