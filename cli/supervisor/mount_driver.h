#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/result.h"
#include "store/base/unique_fd.h"
#include "store/layout.h"

// What the supervisor needs of FUSE, so that it also exists without it, and is tested without a kernel.
namespace hitfs {

struct MountRequest {
  std::filesystem::path mount_point;  // absolute; canonical as far as the asker could resolve it
  std::string name;                   // of the staging folder: default_mount_name() unless --name was given
  LayoutOptions layout;
  bool allow_other = false;
  bool force = false;
  bool alone = false;  // shared with no other job: while one has it, a mount beside it is given
  Milliseconds lookup_patience{2000};

  [[nodiscard]] Json json() const;
  static Result<MountRequest> from(const Json& json);
  // The same under another place and name, for a second job at the same time: DIR-2, DIR-3, ... for 2, 3, ...
  [[nodiscard]] MountRequest beside(int number) const;
};

// The name of a mount without --name: its path, percent-encoded; a digest of it when that is too long for a file name.
[[nodiscard]] std::string default_mount_name(const std::filesystem::path& mount_point);
// A name given by --name: [A-Za-z0-9._-], 1 to 64 bytes, no leading dot.
Status check_mount_name(const std::string& name);

// One mount as the supervisor holds it. complete(), unmount() and abort() are called on another thread than the rest.
// The two descriptors stay open until the end of the object, or until abort().
class MountedDevice {
 public:
  virtual ~MountedDevice() = default;  // unmounts
  [[nodiscard]] virtual int device() const = 0;
  [[nodiscard]] virtual int slots() const = 0;
  // How long the oldest request that needs nobody else has waited for its answer; asked about once a second.
  [[nodiscard]] virtual Milliseconds stalled_for() = 0;
  // Before a stalled worker is killed: the requests older than `limit` are the suspects.
  virtual void blame(Milliseconds limit) = 0;
  virtual void worker_replaced() = 0;
  // The first worker serves, nobody was told yet: what needs the mount itself. In the background, like unmount(); may
  // be called again.
  virtual void complete() {}
  // What adopt() needs beside the two descriptors.
  [[nodiscard]] virtual Json kept() const = 0;
  // Counters per opcode and the like, for `hitfs status`.
  [[nodiscard]] virtual Json describe() const = 0;
  virtual Status unmount() = 0;
  // Lets go of the connection and unmounts: calls fail instead of hanging, later ones see a plain folder.
  virtual void abort() = 0;
};

class MountDriver {
 public:
  virtual ~MountDriver() = default;
  // Makes the folder when it is missing. May take seconds (fusermount3); called on a thread of its own. Messages name
  // the remedy.
  virtual Result<std::unique_ptr<MountedDevice>> mount(const MountRequest& request) = 0;
  // Takes over what a supervisor before had: a device with its two descriptors, and what it said is to be kept. Does
  // not block and asks nothing of the mount.
  virtual Result<std::unique_ptr<MountedDevice>> adopt(const MountRequest& request, const Json& kept, UniqueFd device,
                                                       UniqueFd slots) = 0;
  // The options of the worker of that mount.
  [[nodiscard]] virtual Json worker_options(const MountRequest& request) const = 0;
};

}  // namespace hitfs
