#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "fs/edge/fuse_ops.h"
#include "fs/edge/in_flight.h"
#include "fs/filesystem.h"
#include "fs/slots/slots.h"
#include "store/base/unique_fd.h"

namespace hitfs::fs {

struct FuseServerOptions {
  int fuse_fd = -1;  // stays open and the caller's
  int readers = 4;   // at most half of the large slots
};

// Answers one connection out of its request slots. A server before this one may have been killed at any moment: start()
// replays the INIT and settles what it left, so that the kernel sees one server that never stopped.
//
// Threads: `readers` that read a request into a slot and carry it out; they wait for the kernel and for local disks,
// never for another process. Replies may come from any thread. Slots and Filesystem outlive the server.
class FuseServer {
 public:
  static Result<std::unique_ptr<FuseServer>> create(const FuseServerOptions& options, SlotMemory& slots,
                                                    Filesystem& filesystem);
  // Only after the connection is gone, and when no Reply is open any more; it waits for the readers.
  ~FuseServer();
  FuseServer(const FuseServer&) = delete;
  FuseServer& operator=(const FuseServer&) = delete;

  // Takes part in INIT, settles every slot and starts the readers. When it returns the mount is served.
  Status start();

  // Readable once the connection is gone (unmounted or aborted) and no reader reads any more.
  [[nodiscard]] int gone_fd() const { return gone_.get(); }

  // The orderly end without an end of the mount: no request is begun any more, those that run are waited for. What is
  // read, queued or parked stays for the next server. The process should end then: readers still sit in their read.
  void quiesce(const Deadline& until);

  // A LOOKUP waits in this directory, and the kernel holds its lock.
  [[nodiscard]] bool waits_in(Number directory) { return in_flight_.waits_in(directory); }

 private:
  struct CloseSession {
    void operator()(fuse_session* session) const;
  };

  FuseServer(const FuseServerOptions& options, SlotMemory& slots, Filesystem& filesystem);
  Status open_session();

  // INIT
  Status initialise();
  void process_init(std::span<std::byte> request);
  ssize_t send_init(std::span<const iovec> pieces);

  // What a dead server left
  void settle();
  void resend(SlotIndex slot);
  void drop_copies(std::vector<SlotIndex>& used);
  [[nodiscard]] bool poisoned(SlotIndex slot);
  void give_up(SlotIndex slot);

  // Requests
  void read_requests();
  bool read_request(SlotIndex slot);
  void serve(SlotIndex slot);
  void refuse(SlotIndex slot);
  void execute(SlotIndex slot);
  void process(std::span<std::byte> request);
  void forget(SlotIndex slot);
  void interrupt(SlotIndex slot);

  // Replies
  static ssize_t on_write(int fd, iovec* pieces, int count, void* context);
  static ssize_t on_read(int fd, void* into, size_t size, void* context);
  ssize_t send(std::span<const iovec> pieces);
  // Answers a request that nobody else answers (any more).
  void answer(uint64_t unique, int error);
  ssize_t write_device(std::span<const iovec> pieces);

  struct Session : FuseContext {
    FuseServer* server = nullptr;
  };

  FuseServerOptions options_;
  SlotMemory* slots_;
  Filesystem* filesystem_;
  Session session_context_;
  InFlight in_flight_;
  std::unique_ptr<fuse_session, CloseSession> session_;
  uint64_t init_unique_ = 0;
  std::atomic<bool> quiescing_ = false;
  std::stop_source stop_;
  UniqueFd gone_;
  std::atomic<int> reading_ = 0;
  std::vector<std::jthread> readers_;
};

}  // namespace hitfs::fs
