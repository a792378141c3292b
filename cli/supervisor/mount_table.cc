#include "cli/supervisor/mount_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "store/base/log.h"
#include "store/base/process.h"
#include "store/key.h"
#include "store/mount_lock.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::cli};
// Jobs at once on one machine; more are served by the endpoint.
constexpr int kMostBeside = 64;

bool same_layout(const LayoutOptions& left, const LayoutOptions& right) {
  return left.name == right.name && left.pattern == right.pattern && left.complete == right.complete &&
         left.space == right.space;
}

}  // namespace

MountTable::MountTable(EventLoop& loop, Background& background, MountDriver& driver, StorePaths store,
                       WorkerSettings settings, std::function<void(const std::string&)> log,
                       std::function<void()> changed, FdStore& kept)
    : loop_(loop),
      background_(background),
      driver_(driver),
      store_(std::move(store)),
      settings_(std::move(settings)),
      log_(std::move(log)),
      changed_(std::move(changed)),
      kept_(kept) {}

MountTable::Mount* MountTable::find(const Place& place) {
  auto found = mounts_.find(place);
  return found == mounts_.end() ? nullptr : found->second.get();
}

void MountTable::answer_all(std::vector<Answer>& answers, const Status& status) {
  for (auto& answer : std::exchange(answers, {})) answer(status);
}

bool MountTable::is_taken(const Place& place, ConnectionId holder) {
  auto* mount = find(place);
  if (mount == nullptr) return false;
  return mount->state == State::failed ||
         std::any_of(mount->holders.begin(), mount->holders.end(),
                     [holder](ConnectionId other) { return other != kForGood && other != holder; });
}

void MountTable::mount_beside(const MountRequest& request, ConnectionId holder, const MountAnswer& answer) {
  for (int number = 2; number <= kMostBeside; ++number) {
    auto other = request.beside(number);
    // One that is there already is held for good, or just going: whoever has it wants it for himself.
    if (find(other.mount_point) == nullptr) return begin(other, holder, answer);
  }
  answer(Error{Code::unavailable, fmt::format("{} jobs have a mount of their own beside {} already", kMostBeside,
                                              request.mount_point.string())});
}

void MountTable::mount(const MountRequest& request, ConnectionId holder, MountAnswer answer) {
  if (request.alone && is_taken(request.mount_point, holder)) return mount_beside(request, holder, answer);
  auto* mount = find(request.mount_point);
  if (mount == nullptr) return begin(request, holder, std::move(answer));
  switch (mount->state) {
    case State::unmounting:
      // Comes back as soon as it is gone.
      mount->leaving.push_back(
          [this, request, holder, answer](const Status&) { this->mount(request, holder, answer); });
      return;
    case State::failed:
      return answer(Error{Code::unavailable, request.mount_point.string() + ": " + mount->why +
                                                 "; hitfs unmount it first, supervisor.log in the store says more"});
    case State::mounting:
    case State::starting:
    case State::serving: break;
  }
  if (!same_layout(mount->request.layout, request.layout)) {
    return answer(Error{Code::invalid_argument, request.mount_point.string() + " is mounted with another layout (" +
                                                    mount->request.layout.name + "); hitfs unmount it first"});
  }
  mount->holders.insert(holder);
  if (mount->state == State::serving) return answer(request.mount_point);
  mount->waiting.push_back(std::move(answer));
}

void MountTable::begin(const MountRequest& request, ConnectionId holder, MountAnswer answer) {
  auto lock = hold_mount_lock(store_, request.name);
  if (!lock) return answer(std::move(lock).error());
  auto mount = std::make_unique<Mount>();
  mount->request = request;
  mount->holders.insert(holder);
  mount->lock.emplace(std::move(*lock));
  mount->waiting.push_back(std::move(answer));
  mounts_.emplace(request.mount_point, std::move(mount));

  using Mounted = Result<std::shared_ptr<MountedDevice>>;
  background_.run<Mounted>(
      [this, request]() -> Mounted {
        auto device = driver_.mount(request);
        if (!device) return std::move(device).error();
        return std::shared_ptr<MountedDevice>(std::move(*device));
      },
      [this, place = request.mount_point](Mounted device) { on_mounted(place, std::move(device)); });
}

void MountTable::on_mounted(const Place& place, Result<std::shared_ptr<MountedDevice>> device) {
  auto* mount = find(place);
  if (!device) return forget(place, std::move(device).error());
  mount->device = std::move(*device);
  keep(*mount);
  if (mount->state == State::unmounting || mount->holders.empty()) return begin_unmount(place);
  mount->state = State::starting;
  start_worker(*mount);
}

void MountTable::start_worker(Mount& mount) {
  const auto& place = mount.request.mount_point;
  ChildSpec spec;
  spec.name = "mount " + place.string();
  spec.program = settings_.program;
  spec.arguments = settings_.arguments;
  spec.environment = settings_.environment;
  spec.config = driver_.worker_options(mount.request);
  spec.descriptors = {mount.device->device(), mount.device->slots()};
  Child::Observer observer{[this, place] { on_serving(place); },
                           [this, place](const std::string& why) { on_worker_failed(place, why); }, log_};
  mount.worker = std::make_unique<Child>(loop_, std::move(spec), settings_.policy, std::move(observer));
  mount.worker->start();
}

void MountTable::on_serving(const Place& place) {
  auto* mount = find(place);
  if (mount == nullptr || mount->state == State::unmounting) return;
  mount->device->worker_replaced();
  if (mount->state != State::starting) return;
  background_.run<Status>(
      [device = mount->device]() -> Status {
        device->complete();
        return Ok{};
      },
      [this, place](const Status&) { on_complete(place); });
}

void MountTable::on_complete(const Place& place) {
  auto* mount = find(place);
  if (mount == nullptr || mount->state != State::starting) return;
  kLog.info("mounted at={} name={}", place.string(), mount->request.name);
  mount->state = State::serving;
  for (auto& answer : std::exchange(mount->waiting, {})) answer(place);
}

void MountTable::on_worker_failed(const Place& place, const std::string& why) {
  auto* mount = find(place);
  bool never_served = mount->state == State::starting;
  mount->state = State::failed;
  mount->why = why;
  unkeep(mount->request);
  kLog.error("mount-given-up at={} why=\"{}\"", place.string(), why);
  // Callers get an error instead of hanging, and later ones find a plain folder: every name is a miss.
  background_.run<Status>(
      [device = mount->device]() -> Status {
        device->abort();
        return Ok{};
      },
      [this, place, never_served, why](const Status&) {
        if (never_served) forget(place, Error{Code::unavailable, "the worker did not start: " + why});
      });
}

void MountTable::unmount(const Place& place, ConnectionId holder, Answer answer) {
  auto* mount = find(place);
  if (mount == nullptr) {
    return answer(Error{Code::not_found, place.string() + " is not mounted from this store (see hitfs status)"});
  }
  if (holder == kForGood) {
    mount->holders.clear();
  } else {
    mount->holders.erase(holder);
    if (!mount->holders.empty()) return answer(Ok{});
  }
  mount->leaving.push_back(std::move(answer));
  if (mount->state != State::unmounting) begin_unmount(place);
}

void MountTable::release(ConnectionId holder) {
  std::vector<Place> unheld;
  for (auto& [place, mount] : mounts_) {
    if (mount->holders.erase(holder) > 0 && mount->holders.empty()) unheld.push_back(place);
  }
  for (const auto& place : unheld) {
    if (find(place)->state != State::unmounting) begin_unmount(place);
  }
}

void MountTable::unmount_all(std::function<void()> done) {
  if (mounts_.empty()) return done();
  auto left = std::make_shared<size_t>(mounts_.size());
  std::vector<Place> places;
  for (const auto& [place, mount] : mounts_) places.push_back(place);
  for (const auto& place : places) {
    unmount(place, kForGood, [left, done](const Status&) {
      if (--*left == 0) done();
    });
  }
}

// The name goes first, so that nobody new comes in; then the worker hands over what is finished, and ends.
void MountTable::begin_unmount(const Place& place) {
  auto* mount = find(place);
  bool still_mounting = mount->state == State::mounting;
  mount->state = State::unmounting;
  if (still_mounting && !mount->device) return;  // on_mounted() comes back here
  if (mount->worker) mount->worker->retire();
  background_.run<Status>([device = mount->device] { return device->unmount(); },
                          [this, place](const Status& unmounted) { stop_worker(place, unmounted); });
}

void MountTable::stop_worker(const Place& place, const Status& unmounted) {
  auto* mount = find(place);
  if (!mount->worker) return forget(place, unmounted);
  mount->worker->stop(settings_.stop_limit, [this, place, unmounted] {
    // Not here: this runs inside the Child that forget() destroys.
    loop_.post([this, place, unmounted] { forget(place, unmounted); });
  });
}

void MountTable::forget(const Place& place, const Status& how) {
  auto found = mounts_.find(place);
  if (found == mounts_.end()) return;
  auto mount = std::move(found->second);
  mounts_.erase(found);
  bool wanted_away = mount->state == State::unmounting;
  unkeep(mount->request);
  mount->worker.reset();
  mount->device.reset();
  mount->lock.reset();
  if (wanted_away) kLog.info("unmounted at={}", place.string());
  for (auto& answer : std::exchange(mount->waiting, {})) {
    answer(how ? Error{Code::unavailable, place.string() + " was unmounted"} : how.error());
  }
  answer_all(mount->leaving, wanted_away ? how : Status(Ok{}));
  changed_();
}

void MountTable::look_for_stalls() {
  for (auto& [place, mount] : mounts_) {
    if (mount->state != State::serving || mount->worker->state() != Child::State::ready) continue;
    auto waited = mount->device->stalled_for();
    if (waited < settings_.watchdog) continue;
    // Slow is the disk: the next worker would wait as long, and the request would be taken for one that kills workers.
    if (waited < settings_.disk_patience && waits_for_disk(mount->worker->pid())) continue;
    ++mount->stalls;
    kLog.error("worker-stalled at={} unanswered_ms={}", place.string(), waited.count());
    mount->device->blame(settings_.watchdog);
    mount->worker->kill();
  }
}

bool MountTable::held() const {
  for (const auto& [place, mount] : mounts_) {
    if (!mount->holders.empty()) return true;
  }
  return false;
}

Json MountTable::describe() const {
  Json::Array all;
  for (const auto& [place, mount] : mounts_) {
    Json one;
    one["mount_point"] = percent_encode(place.native());
    one["path"] = place.string();
    one["name"] = mount->request.name;
    one["layout"] = mount->request.layout.name;
    switch (mount->state) {
      case State::mounting: one["state"] = "mounting"; break;
      case State::starting: one["state"] = "starting"; break;
      case State::serving: one["state"] = "serving"; break;
      case State::unmounting: one["state"] = "unmounting"; break;
      case State::failed: one["state"] = "failed"; break;
    }
    if (mount->state == State::failed) one["why"] = mount->why;
    one["for_good"] = mount->holders.contains(kForGood);
    one["holders"] = mount->holders.size();
    one["stalls"] = mount->stalls;
    if (mount->worker) one["worker"] = mount->worker->describe();
    if (mount->device) one["device"] = mount->device->describe();
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace hitfs
