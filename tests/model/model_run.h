#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/model/model_tree.h"

namespace hitfs::testing {

// Chooses steps: mostly such that can succeed, of a few names, so that they meet. The same seed chooses the same.
class OperationChooser {
 public:
  struct Names {
    std::vector<std::string> top;      // at the top
    std::vector<std::string> entries;  // of these, what an eviction or an arrival may hit
    bool exchange = true;
    size_t largest = 12;        // bytes of one write
    std::vector<Act> around{};  // what may happen around the mount
    size_t around_every = 12;   // steps, on average
  };
  OperationChooser(Names names, uint64_t seed) : names_(std::move(names)), random_(seed) {}

  Operation next(const ModelTree& model);

 private:
  size_t any(size_t below) { return random_() % below; }
  std::string some(const std::vector<std::string>& paths);
  std::string place(const ModelTree& model);
  std::string target(const ModelTree& model);
  Act act();
  void around(Operation& operation, const ModelTree& model);

  Names names_;
  std::mt19937_64 random_;
};

struct Mismatch {
  std::vector<Operation> steps;  // the last one is that which was seen to differ, or after which a look was
  std::string what;
};

// A model and what it is compared with, both new.
struct Pair {
  ModelTree model;
  std::unique_ptr<Subject> subject;
};
using MakePair = std::function<Pair()>;

// What was done, for the printed figures.
struct Tally {
  uint64_t steps = 0, succeeded = 0, looks = 0, around = 0, entries = 0;
  std::map<Act, uint64_t> done;  // successful ones
};

// Does `steps` steps, and after every `every` of them looks at everything. Nothing when all was as the model says.
std::optional<Mismatch> run_chosen(const MakePair& make, OperationChooser& chooser, size_t steps, size_t every,
                                   Tally& tally);

// The same for given steps.
std::optional<Mismatch> run_given(const MakePair& make, const std::vector<Operation>& steps);

// The shortest sequence found within the limit that still differs.
Mismatch shrink(const MakePair& make, Mismatch mismatch, std::chrono::seconds limit);

// For people: lines of a drill's figures.
std::string text_of(const Tally& tally, uint64_t sequences, double seconds);

// For people: the steps, and what differs.
std::string text_of(const Mismatch& mismatch);

}  // namespace hitfs::testing
