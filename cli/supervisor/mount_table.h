#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/supervisor/background.h"
#include "cli/supervisor/child.h"
#include "cli/supervisor/control.h"
#include "cli/supervisor/fd_store.h"
#include "cli/supervisor/mount_driver.h"
#include "store/base/file_lock.h"
#include "store/store_paths.h"

namespace hitfs {

// How workers are started and when they are given up.
struct WorkerSettings {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  RestartPolicy policy{.start_limit = Milliseconds(20000)};
  Milliseconds watchdog{5000};        // a local request unanswered for so long: the worker is killed
  Milliseconds disk_patience{60000};  // the same while the worker waits for a disk
  Milliseconds stop_limit{10000};     // a worker may take so long to hand over what is finished
};

// The mounts of one supervisor. Each is held by connections (`hitfs run --mount`) or for good (`hitfs mount`), and goes
// when nobody holds it. A mount has a device that the supervisor keeps, a lock that says that it lives, and a worker
// that may die and come back. Belongs to the loop's thread; what may block runs in the background.
class MountTable {
 public:
  using Answer = std::function<void(Status)>;
  using MountAnswer = std::function<void(Result<std::filesystem::path>)>;
  static constexpr ConnectionId kForGood = 0;

  // `log` takes the workers' lines; `changed` is called when a mount is gone; `kept` gets what the next supervisor
  // needs.
  MountTable(EventLoop& loop, Background& background, MountDriver& driver, StorePaths store, WorkerSettings settings,
             std::function<void(const std::string&)> log, std::function<void()> changed, FdStore& kept);

  // Takes over the mounts of the supervisor before, as far as they are there: each is held for good from then on, also
  // one that a job had, because nobody knows any more when that ends.
  void adopt_kept();

  // Answers with the place when the mount serves. One of the same place and layout is joined; of another layout,
  // refused. A request to be alone gets the first place beside it that no other connection holds.
  void mount(const MountRequest& request, ConnectionId holder, MountAnswer answer);
  // Lets go of one mount; answers when it is gone, or at once when others hold it. For `kForGood` whoever holds it.
  void unmount(const std::filesystem::path& mount_point, ConnectionId holder, Answer answer);
  // Lets go of everything that a connection held.
  void release(ConnectionId holder);
  void unmount_all(std::function<void()> done);
  // Kills workers that left a request unanswered. Call it about once a second.
  void look_for_stalls();

  [[nodiscard]] bool empty() const { return mounts_.empty(); }
  // Whether anybody's lease is a mount.
  [[nodiscard]] bool held() const;
  [[nodiscard]] Json describe() const;

 private:
  enum class State {
    mounting,    // the driver works
    starting,    // the first worker starts
    serving,     // answered; the worker may be between two lives
    unmounting,  // on the way out
    failed,      // given up: the place is a plain folder; listed until nobody holds it
  };
  struct Mount {
    MountRequest request;
    State state = State::mounting;
    std::set<ConnectionId> holders;
    std::optional<FileLock> lock;
    std::shared_ptr<MountedDevice> device;
    std::unique_ptr<Child> worker;
    std::vector<MountAnswer> waiting;  // for serving
    std::vector<Answer> leaving;       // for gone
    uint64_t stalls = 0;
    std::string why;  // failed
  };
  using Place = std::filesystem::path;

  void adopt(const std::string& id);
  void keep(const Mount& mount) const;
  void unkeep(const MountRequest& request) const;
  void begin(const MountRequest& request, ConnectionId holder, MountAnswer answer);
  void mount_beside(const MountRequest& request, ConnectionId holder, const MountAnswer& answer);
  void on_mounted(const Place& place, Result<std::shared_ptr<MountedDevice>> device);
  void start_worker(Mount& mount);
  void on_serving(const Place& place);
  void on_complete(const Place& place);
  void on_worker_failed(const Place& place, const std::string& why);
  void begin_unmount(const Place& place);
  void stop_worker(const Place& place, const Status& unmounted);
  void forget(const Place& place, const Status& how);
  [[nodiscard]] bool is_taken(const Place& place, ConnectionId holder);
  void answer_all(std::vector<Answer>& answers, const Status& status);
  Mount* find(const Place& place);

  EventLoop& loop_;
  Background& background_;
  MountDriver& driver_;
  StorePaths store_;
  WorkerSettings settings_;
  std::function<void(const std::string&)> log_;
  std::function<void()> changed_;
  FdStore& kept_;
  std::map<Place, std::unique_ptr<Mount>> mounts_;
};

}  // namespace hitfs
