#include "store/layout.h"

#include "store/layouts/flat.h"
#include "store/layouts/nx.h"

namespace hitfs {

Result<std::unique_ptr<Layout>> make_layout(const LayoutOptions& options) {
  if (options.name.empty() || options.name == "flat") return make_flat_layout(options);
  if (options.name == "nx") return make_nx_layout(options);
  return Error{Code::invalid_argument, "layout \"" + options.name + "\" is unknown; this version has: flat, nx"};
}

}  // namespace hitfs
