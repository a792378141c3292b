#include "cli/fuse_mounts.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <utility>

#include "fs/mounting/inner_mount.h"
#include "fs/mounting/mount.h"
#include "fs/slots/request_counters.h"
#include "fs/slots/slots.h"
#include "fs/slots/stall_detector.h"
#include "fs/worker.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/layouts/nx.h"

namespace hitfs {

namespace {

constexpr log::Logger kLog{log::Folder::cli};

// What a parked request may wait for beside a remote: rows of nx's databases, the first look of an nx.
constexpr Milliseconds kParkedBeside{5000};

class FuseDevice final : public MountedDevice {
 public:
  // `device` is a copy of the mount's descriptor: it stays open while the mount is being taken away, so that the
  // worker still there can end in order. `made` is the folder that was made for this mount, `inside` what is to be
  // shown inside of it; "" for none.
  FuseDevice(fs::Mount mount, fs::SlotMemory memory, UniqueFd device, std::filesystem::path made,
             std::filesystem::path inside, Milliseconds lookup_patience)
      : memory_(std::move(memory)),
        device_(std::move(device)),
        mount_(std::move(mount)),
        stalls_(memory_, device_.get(), lookup_patience + kParkedBeside),
        made_(std::move(made)),
        inside_(std::move(inside)) {}

  int device() const override { return device_.get(); }
  int slots() const override { return memory_.descriptor(); }
  Milliseconds stalled_for() override { return stalls_.stalled_for(); }
  void blame(Milliseconds limit) override { stalls_.blame(limit); }
  void worker_replaced() override { stalls_.worker_replaced(); }

  // nx's databases lie outside of the mount. In a container only the mount may be there, so they are shown inside of it
  // as well; without root no container can see the mount either.
  void complete() override {
    if (inside_.empty() || ::geteuid() != 0) return;
    auto place = mount_.mount_point() / kNxPrivateName;
    if (fs::is_shown(place)) return;
    if (auto shown = fs::show_inside(inside_, place); !shown) kLog.warn("{}", shown.error().message);
  }

  Json kept() const override {
    Json json;
    json["made"] = !made_.empty();
    return json;
  }

  Json describe() const override {
    auto counts = fs::count_requests(memory_);
    Json json;
    json["requests"] = Json::Object{};
    for (const auto& [operation, count] : counts.by_operation) json["requests"][operation] = count;
    json["total"] = counts.total;
    json["failed"] = counts.failed;
    json["workers"] = counts.workers;
    json["settled"] = counts.settled;
    json["resent"] = counts.resent;
    json["poisoned"] = counts.poisoned;
    json["parked"] = counts.parked;
    return json;
  }

  Status unmount() override {
    auto gone = mount_.unmount();
    // Not when somebody put something into it meanwhile.
    if (gone && !made_.empty()) ::rmdir(made_.c_str());
    return gone;
  }

  void abort() override {
    memory_.fail_all(device_.get());
    [[maybe_unused]] auto gone = mount_.unmount();
    mount_.abort();
    device_.reset();
  }

 private:
  fs::SlotMemory memory_;
  UniqueFd device_;
  fs::Mount mount_;
  fs::StallDetector stalls_;
  std::filesystem::path made_, inside_;
};

class FuseMounts final : public MountDriver {
 public:
  explicit FuseMounts(StorePaths store) : store_(std::move(store)) {}

  Result<std::unique_ptr<MountedDevice>> mount(const MountRequest& request) override {
    auto memory = fs::SlotMemory::create();
    if (!memory) return std::move(memory).error();
    std::error_code failure;
    auto there = std::filesystem::symlink_status(request.mount_point, failure).type();
    bool missing = there == std::filesystem::file_type::not_found;
    if (missing) {
      auto made = io::make_directories(request.mount_point, 0755, "mount point");
      if (!made) return std::move(made).error();
    }
    auto mount = fs::Mount::mount({.mount_point = request.mount_point,
                                   .allow_other = request.allow_other,
                                   .force = request.force,
                                   .source = store_.root.string()});
    return device_of(request, std::move(mount), std::move(*memory), missing);
  }

  Result<std::unique_ptr<MountedDevice>> adopt(const MountRequest& request, const Json& kept, UniqueFd device,
                                               UniqueFd slots) override {
    auto memory = fs::SlotMemory::adopt(std::move(slots));
    if (!memory) return std::move(memory).error();
    return device_of(request, fs::Mount::adopt(request.mount_point, std::move(device)), std::move(*memory),
                     kept["made"].bool_or(false));
  }

  Json worker_options(const MountRequest& request) const override {
    fs::WorkerOptions options;
    options.store = store_;
    options.mount_name = request.name;
    options.layout = request.layout;
    options.uid = ::geteuid();
    options.gid = ::getegid();
    options.lookup_patience = request.lookup_patience;
    options.mount_point = request.mount_point.string();
    return options.to_json();
  }

 private:
  Result<std::unique_ptr<MountedDevice>> device_of(const MountRequest& request, Result<fs::Mount> mount,
                                                   fs::SlotMemory memory, bool folder_is_ours) const {
    if (!mount) return std::move(mount).error();
    UniqueFd device(::fcntl(mount->descriptor(), F_DUPFD_CLOEXEC, 3));
    if (!device) return system_error("duplicate the connection", errno);
    std::filesystem::path made, inside;
    if (folder_is_ours) made = request.mount_point;
    if (request.layout.name == "nx") inside = store_.private_folder(request.name);
    return std::unique_ptr<MountedDevice>(new FuseDevice(std::move(*mount), std::move(memory), std::move(device),
                                                         std::move(made), std::move(inside), request.lookup_patience));
  }

  StorePaths store_;
};

}  // namespace

std::unique_ptr<MountDriver> make_fuse_mounts(const StorePaths& store) { return std::make_unique<FuseMounts>(store); }

int run_fuse_worker(const Json& options, int fuse_fd, int slots_fd, int ready_fd) {
  auto worker = fs::WorkerOptions::from_json(options);
  if (!worker) {
    kLog.error("worker-options why=\"{}\"", worker.error().message);
    return 1;
  }
  worker->fuse_fd = fuse_fd;
  worker->slots_fd = slots_fd;
  worker->ready_fd = ready_fd;
  return fs::run_mount_worker(*worker);
}

}  // namespace hitfs
