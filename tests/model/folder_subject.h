#pragma once

#include <array>
#include <filesystem>
#include <optional>

#include "store/base/unique_fd.h"
#include "tests/model/operation.h"

namespace hitfs::testing {

// A folder, by system calls. What happens around a mount is for whoever derives from it.
class FolderSubject : public Subject {
 public:
  explicit FolderSubject(std::filesystem::path root) : root_(std::move(root)) {}
  Seen apply(const Operation& operation) override;

 protected:
  // Of an act of the last group (operation.h); `root` is where the folder is afterwards.
  virtual Seen around(const Operation& operation, std::filesystem::path& root);
  void close_all() { slots_ = {}; }
  [[nodiscard]] int sync_root() const;

 private:
  Seen of_names(const Operation& operation);
  Seen of_contents(const Operation& operation);
  Seen list(const std::string& path) const;
  Seen look(const std::string& path) const;
  Seen of_slot(const Operation& operation);
  [[nodiscard]] std::string at(const std::string& path) const { return (root_ / path).string(); }

  std::filesystem::path root_;
  std::array<UniqueFd, kSlots> slots_{};
};

}  // namespace hitfs::testing
