// What of its mounts a supervisor leaves to the next one, by way of the service manager.
#include <fmt/core.h>

#include "cli/supervisor/mount_table.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/digest.h"
#include "store/mount_lock.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::cli};
// A mount has three descriptors; its place is told by a digest, because a name may hold little.
constexpr std::string_view kPrefix = "mount-", kRequest = "-request", kDevice = "-device", kSlots = "-slots";

std::string id_of(const std::filesystem::path& place) {
  constexpr size_t kEnough = 16;
  return std::string(kPrefix) + Digest::of(io::as_bytes(place.native())).hex().substr(0, kEnough);
}

std::string named(const std::string& id, std::string_view what) { return id + std::string(what); }

}  // namespace

void MountTable::keep(const Mount& mount) const {
  auto id = id_of(mount.request.mount_point);
  auto request = mount.request.json();
  request["kept"] = mount.device->kept();
  kept_.keep(named(id, kDevice), mount.device->device());
  kept_.keep(named(id, kSlots), mount.device->slots());
  kept_.keep(named(id, kRequest), request);
}

// Before the connection is closed: a copy would keep its callers waiting.
void MountTable::unkeep(const MountRequest& request) const {
  for (auto what : {kRequest, kDevice, kSlots}) kept_.forget(named(id_of(request.mount_point), what));
}

void MountTable::adopt_kept() {
  for (const auto& name : kept_.names()) {
    if (name.starts_with(kPrefix) && name.ends_with(kRequest)) adopt(name.substr(0, name.size() - kRequest.size()));
  }
}

void MountTable::adopt(const std::string& id) {
  auto said = kept_.take_json(named(id, kRequest));
  auto device = kept_.take(named(id, kDevice)), slots = kept_.take(named(id, kSlots));
  auto request = MountRequest::from(said.value_or(Json()));
  if (!request) return;
  auto lock = hold_mount_lock(store_, request->name);
  auto adopted = lock ? driver_.adopt(*request, (*said)["kept"], std::move(device), std::move(slots))
                      : Result<std::unique_ptr<MountedDevice>>(lock.error());
  if (!adopted) {
    kLog.warn("mount-not-adopted at={} why=\"{}\"", request->mount_point.string(), adopted.error().message);
    return unkeep(*request);
  }
  auto mount = std::make_unique<Mount>();
  mount->request = *std::move(request);
  mount->holders.insert(kForGood);
  mount->lock.emplace(std::move(*lock));
  mount->device = std::move(*adopted);
  mount->state = State::starting;
  auto& there = *mounts_.emplace(mount->request.mount_point, std::move(mount)).first->second;
  start_worker(there);
}

}  // namespace hitfs
