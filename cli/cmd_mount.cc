#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/lease.h"
#include "cli/supervisor/start.h"
#include "fs/mounting/mount_table.h"
#include "store/key.h"

namespace hitfs {

namespace {

constexpr Milliseconds kMountLimit{30000};
constexpr Milliseconds kEndLimit{60000};

// The store whose supervisor holds the mount at `place`: it stands in the mount table, so that nobody has to say it
// again.
StorePaths store_of_mount(const std::filesystem::path& place, const StorePaths& configured) {
  auto mounted = fs::find_mount(place);
  if (!mounted || !*mounted || (*mounted)->type != "fuse.hitfs") return configured;
  const auto& source = (*mounted)->source;
  return source.starts_with('/') ? StorePaths{source} : configured;
}

}  // namespace

int cmd_mount(const Context& context) {
  auto request = mount_request(context);
  if (!request) return context.output.fail(request.error());
  // Held until the mount holds the supervisor itself.
  auto lease = Lease::take(context, false);
  if (!lease) return context.output.fail(lease.error());
  Json message = request->json();
  message["op"] = "mount";
  message["for_good"] = true;
  auto mounted = lease->request(message, kMountLimit);
  if (!mounted) return context.output.fail(mounted.error());
  Json said;
  said["mount_point"] = request->mount_point.string();
  said["name"] = request->name;
  said["layout"] = request->layout.name;
  context.output.value(said);
  context.output.line("mounted at " + request->mount_point.string());
  return kDone;
}

int cmd_unmount(const Context& context) {
  auto place = resolve_mount_point(context.arguments.mount_point, false);
  if (!place) return context.output.fail(place.error());
  auto store = store_of_mount(*place, context.config.store);
  auto control = ControlClient::connect(store);
  if (!control) {
    return context.output.fail({Code::not_found, place->string() + ": nothing is mounted from the store " +
                                                     store.root.string() + " (is it another --store?)"});
  }
  Json message;
  message["op"] = "unmount";
  message["for_good"] = true;
  message["mount_point"] = percent_encode(place->native());
  auto unmounted = control->request(message, Deadline::after(kMountLimit));
  if (!unmounted) return context.output.fail(unmounted.error());
  if (std::as_const(*unmounted)["ending"].bool_or(false)) {
    // The last one: the store can be moved when we return.
    auto until = Deadline::after(context.config.flush_ci + kEndLimit);
    if (auto closed = control->wait_until_closed(until); !closed) return context.output.fail(closed.error());
    if (auto free = wait_until_free(store, until); !free) return context.output.fail(free.error());
  }
  Json said;
  said["unmounted"] = place->string();
  context.output.value(said);
  context.output.line("unmounted " + place->string());
  return kDone;
}

}  // namespace hitfs
