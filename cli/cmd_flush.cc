#include "cli/build_session.h"
#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/lease.h"

namespace hitfs {

int cmd_flush(const Context& context) {
  auto lease = Lease::take(context, false);
  if (!lease) return context.output.fail(lease.error());
  auto flushed = flush_pushes(lease->daemon(), context.output, context.config.flush_ci, [] { return false; });
  if (!flushed) return context.output.fail(flushed.error());
  Json json;
  json["pending"] = flushed->pending;
  json["parked"] = flushed->parked;
  json["left"] = flushed->left;
  context.output.value(json);
  name_what_is_left(context.output, *flushed);
  if (flushed->pending == 0 && flushed->parked == 0) context.output.line("everything is uploaded");
  return flushed->pending == 0 ? kDone : kAnswerIsNo;
}

}  // namespace hitfs
