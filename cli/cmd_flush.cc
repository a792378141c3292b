#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "cli/build_session.h"
#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/lease.h"
#include "store/base/unique_fd.h"
#include "store/key.h"

namespace hitfs {

namespace {

constexpr Milliseconds kAnswerLimit{5000};

// A rename in a mount is answered before its entry is committed. fsync of the folder waits until the mount has handed
// over what was renamed so far, 5 s at most; by then the daemon has it in hand, and its flush waits for that.
void settle_mounts(Lease& lease) {
  Json request;
  request["op"] = "status";
  auto status = lease.request(request, kAnswerLimit);
  if (!status) return;
  for (const auto& mount : std::as_const(*status)["mounts"].items()) {
    auto path = percent_decode(mount["mount_point"].text_or(""));
    if (!path || mount["state"].text_or("") != "serving") continue;
    UniqueFd folder(::open(path->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder) ::fsync(folder.get());
  }
}

}  // namespace

int cmd_flush(const Context& context) {
  auto lease = Lease::take(context, false);
  if (!lease) return context.output.fail(lease.error());
  settle_mounts(*lease);
  auto flushed = flush_pushes(
      lease->daemon(), context.output, context.config.flush_ci, [] { return false; }, GiveUp::at_limit);
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
