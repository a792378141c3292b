#pragma once

#include <map>
#include <random>
#include <set>
#include <string>

#include "tests/drills/checked_calls.h"

namespace hitfs::testing {

// A folder of files that only one thread changes, and what must be in it: random operations, each checked against the
// model that it keeps. Its names are no entries.
class ModelFolder {
 public:
  // `folder` is made by the first step.
  ModelFolder(CheckedCalls& calls, std::filesystem::path folder, unsigned seed)
      : calls_(calls), folder_(std::move(folder)), random_(seed) {}

  // One operation; false when a call did not end as it must. The model is not to be relied on from then on.
  bool step();
  // Everything that the model says.
  bool holds();

 private:
  using Path = std::filesystem::path;
  using Files = std::map<std::string, std::string>;  // "f3" or "d1/f3" -> its bytes

  bool create();
  bool write();
  bool truncate();
  bool read();
  bool map();
  bool move_file();
  bool move_folder();
  bool remove();
  bool remove_open();
  bool make_folder();
  bool remove_folder();
  bool list();
  bool missing();
  bool links();
  bool change_mode();
  bool sync();

  unsigned any(size_t below) { return static_cast<unsigned>(random_() % below); }
  std::string noise(size_t most);
  Files::iterator any_file();
  std::string new_name();
  [[nodiscard]] std::set<std::string> names_in(const std::string& subfolder) const;
  [[nodiscard]] Path at(const std::string& name) const { return folder_ / name; }

  CheckedCalls& calls_;
  Path folder_;
  std::mt19937 random_;
  bool made_ = false;
  unsigned names_ = 0;
  Files files_;
  std::set<std::string> folders_;
};

}  // namespace hitfs::testing
