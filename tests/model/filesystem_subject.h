#pragma once

#include <array>
#include <set>

#include "tests/fs/mount_harness.h"
#include "tests/model/operation.h"

namespace hitfs::testing {

// A Filesystem, asked as the kernel would: each name is looked up before it is changed, and what the kernel refuses by
// itself is refused, though it is asked for all the same where that can only fail.
class FilesystemSubject final : public Subject {
 public:
  using Trees = std::map<std::string, TreeText>;
  explicit FilesystemSubject(const Trees& remote);
  Seen apply(const Operation& operation) override;

 private:
  using Number = fs::Number;
  // A name, looked up: what it is is handed out until the end of the step.
  struct Looked {
    int error = 0;  // of the way to it
    Number parent = 0;
    std::string name{};
    std::optional<fs::Attributes> node{};
  };

  Looked look_up(const std::string& path);
  std::optional<fs::Attributes> look_up(Number parent, const std::string& name);
  void let_go();

  Seen change(const Operation& operation);
  Seen make(const Operation& operation, const Looked& place);
  Seen remove(const Operation& operation, const Looked& place);
  Seen rename(const Operation& operation);
  int rename_error(const Operation& operation, const Looked& from, const Looked& to);
  Seen change_file(const Operation& operation, Number number);
  Seen look(Number number);
  Seen list(const Operation& operation);
  Seen change_open(const Operation& operation);
  void disturb(const Operation& operation);
  void wait_until_committed();
  void evict(const std::string& name);
  void arrive(const Operation& operation);

  fs::MountHarness mount_;
  std::vector<Number> handed_out_;
  std::array<Number, kSlots> slots_{};
  uint64_t unique_ = 0;
  bool away_ = false;
  bool stuck_ = false;  // something that was completed does not become an entry
  std::chrono::seconds patience_{60};
};

}  // namespace hitfs::testing
