#include "store/layout.h"

#include "store/layouts/flat.h"

namespace hitfs {

Result<std::unique_ptr<Layout>> make_layout(const LayoutOptions& options) {
  if (options.name.empty() || options.name == "flat") return make_flat_layout(options);
  if (options.name == "nx") {
    return Error{Code::invalid_argument,
                 "layout nx is not in this version: it comes with the issue \"Nx in real CI\"; until then nx uses the "
                 "endpoint, which hitfs run and hitfs start export to it"};
  }
  return Error{Code::invalid_argument, "layout \"" + options.name + "\" is unknown; this version has: flat"};
}

}  // namespace hitfs
