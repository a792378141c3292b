#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/result.h"

// The rule book of one tool's cache directory. A pure function of names, tested by tables of paths.
namespace hitfs {

// What a name at the top of the mount is.
enum class NameClass {
  entry,   // hash-named: looked up in the store and on remotes, pushed when complete
  local,   // of this machine: lives in staging, never leaves it
  absent,  // never exists on a remote: no question is asked; may be created as local
  link,    // a symbolic link into the mount's private folder, made when it is looked up; `name` is the path there
};

// When a write to an entry name is complete.
enum class Completion {
  rename,  // by a rename onto the name
  close,   // by the last close of the file as well
  marker,  // a directory: by the appearance of the marker file in it, as well as by a rename
};

struct Placement {
  NameClass name_class = NameClass::local;
  std::string space{};  // namespace and name of the key, for class entry
  std::string name;
};

class Layout {
 public:
  virtual ~Layout() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  // Where a top-level name belongs.
  [[nodiscard]] virtual Placement place(std::string_view top_level_name) const = 0;
  // The top-level name under which an entry of this layout's namespace is shown.
  [[nodiscard]] virtual std::string_view space() const = 0;
  [[nodiscard]] virtual Completion completion() const = 0;
  [[nodiscard]] virtual std::string_view marker() const = 0;  // "" unless completion() is marker

  // The only name at the top whose rename to the entry's name `name` makes an entry; "" where any other name does.
  [[nodiscard]] virtual std::string aside(std::string_view /*name*/) const { return ""; }
  // The other way: the entry's name that `aside` stands for while it is being stored; nothing for other names.
  [[nodiscard]] virtual std::optional<std::string> set_aside(std::string_view /*aside*/) const { return std::nullopt; }
  // A folder at the top that shows each entry's terminal output under the entry's name; "" for none.
  [[nodiscard]] virtual std::string_view outputs_folder() const { return ""; }
  // Whether the tool decides hits by rows in databases in the private folder, which must agree with the names.
  [[nodiscard]] virtual bool has_rows() const { return false; }
};

struct LayoutOptions {
  std::string name = "flat";
  std::string pattern{};   // an extended regular expression for the whole name; "" means the layout's default
  std::string complete{};  // "rename", "close" or "marker:NAME"; "" means rename
  std::string space{};     // the namespace; "" means the layout's default
};

// `invalid_argument` names the wrong option and what it may be.
Result<std::unique_ptr<Layout>> make_layout(const LayoutOptions& options);

}  // namespace hitfs
