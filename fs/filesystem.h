#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/numbers.h"
#include "fs/reply.h"
#include "store/base/clock.h"
#include "store/base/result.h"
#include "store/daemon_client.h"
#include "store/layout.h"
#include "store/manifest.h"
#include "store/store_reader.h"

namespace hitfs::fs {

struct Attributes {
  Number number = 0;
  FileType type = FileType::file;
  uint16_t mode = 0;  // permission bits
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  int64_t atime_ns = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

// What LOOKUP, CREATE, MKDIR, SYMLINK and READDIRPLUS give: a node, and for how long the kernel may believe it.
struct NodeReply {
  Attributes attributes;
  Nanoseconds entry_timeout{};
  Nanoseconds attribute_timeout{};
  // False only in listings: number and type are right and the rest is not known (a committed name at the top, whose
  // manifest a listing does not open). READDIRPLUS then gives no node for it (nodeid 0), and it is not handed out.
  bool handed_out = true;
};
struct AttributesReply {
  Attributes attributes;
  Nanoseconds timeout{};
};

// Who asks. `unique` is the kernel's number of the request: a changing request that was carried out by a killed worker
// and comes again is recognised by it in names.log and not carried out twice.
struct Caller {
  uint64_t unique = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;  // 0 when the worker cannot see it (another process namespace)
};

struct AttributeChange {
  std::optional<uint16_t> mode{};
  std::optional<uid_t> uid{};
  std::optional<gid_t> gid{};
  std::optional<uint64_t> size{};
  std::optional<int64_t> mtime_ns{};
  std::optional<int64_t> atime_ns{};
};

struct SpaceReply {
  uint64_t block_size = 4096, blocks = 0, free_blocks = 0, files = 0, free_files = 0;
};

// Takes the names of a directory; false when the reply is full (that name was not taken).
class DirectoryFiller {
 public:
  virtual ~DirectoryFiller() = default;
  virtual bool add(std::string_view name, const NodeReply& node, uint64_t next_offset) = 0;
  // True for READDIRPLUS: every name taken counts as handed out, but for "." and ".." and where node.handed_out is
  // false.
  [[nodiscard]] virtual bool counts_references() const = 0;
};

// Kernel references, kept in shared memory so that they outlive a worker: one counter per committed entry (its id), and
// one per staging number (2^52 and above), because the bytes of an unlinked file that is still open must be there for
// the next worker too. drop() below zero stays at zero; a table that was full answers counts above zero from then on,
// so that nothing is freed too early. Safe from several threads.
class References {
 public:
  virtual ~References() = default;
  virtual void add(uint64_t holder, uint64_t count) = 0;
  virtual void drop(uint64_t holder, uint64_t count) = 0;
  [[nodiscard]] virtual uint64_t count(uint64_t holder) const = 0;
};

// Tells the kernel to forget. Calls return at once: the work is done on a thread of its own, because it can block on
// requests that we have to answer. Safe from several threads.
class KernelNotifier {
 public:
  virtual ~KernelNotifier() = default;
  virtual void invalidate_name(Number parent, const std::string& name) = 0;
  virtual void invalidate_number(Number number) = 0;
};

struct FilesystemOptions {
  StorePaths store;
  std::string mount_name;  // names the staging folder
  // A random number that all workers of one mount (one FUSE connection) share and no other mount has: it lies with the
  // request slots. Another number in names.log says that the kernel knows none of our numbers any more, that its
  // `unique` counts from the start again, and that whiteouts and overlays have ended. 0 is always another mount.
  uint64_t connection = 0;
  std::string scope;
  std::string mount_point;  // never touched, only compared: whoever asks may be led by a name below it
  uid_t uid = 0;            // owner of everything that is shown
  gid_t gid = 0;
  Milliseconds lookup_patience{2000};  // a lookup waits this long for a remote
  Milliseconds absent_memory{60000};   // for how long a remote's "no" is remembered
  Milliseconds row_grace{30000};       // a retired entry is shown for so long after its rows are gone
  const Clock* clock = &system_clock();
  std::string boot_id;  // of the machine's running kernel; "" reads it from /proc
};

// One mount: every decision is here, nothing of FUSE is. Replies may come later and from other threads. All methods are
// safe from several threads; none waits for another process.
class Filesystem {
 public:
  // References, notifier, reader, daemon and layout outlive it. Replays names.log when a worker before left one.
  static Result<std::unique_ptr<Filesystem>> open(const FilesystemOptions& options, const Layout& layout,
                                                  StoreReader& reader, DaemonClient& daemon, References& references,
                                                  KernelNotifier& notifier);
  virtual ~Filesystem() = default;

  virtual void lookup(const Caller&, Number parent, std::string_view name, Reply<NodeReply> reply) = 0;
  // `count` references to `number` are gone.
  virtual void forget(Number number, uint64_t count) = 0;
  virtual void get_attributes(const Caller&, Number number, Reply<AttributesReply> reply) = 0;
  virtual void set_attributes(const Caller&, Number number, const AttributeChange& change,
                              Reply<AttributesReply> reply) = 0;
  virtual void read_link(const Caller&, Number number, Reply<std::string> reply) = 0;

  virtual void make_directory(const Caller&, Number parent, std::string_view name, uint16_t mode,
                              Reply<NodeReply> reply) = 0;
  virtual void make_symlink(const Caller&, Number parent, std::string_view name, std::string_view target,
                            Reply<NodeReply> reply) = 0;
  virtual void create(const Caller&, Number parent, std::string_view name, uint16_t mode, Reply<NodeReply> reply) = 0;
  virtual void unlink(const Caller&, Number parent, std::string_view name, Reply<Ok> reply) = 0;
  virtual void remove_directory(const Caller&, Number parent, std::string_view name, Reply<Ok> reply) = 0;
  enum class RenameMode { replace, no_replace, exchange };
  virtual void rename(const Caller&, Number parent, std::string_view name, Number new_parent, std::string_view new_name,
                      RenameMode mode, Reply<Ok> reply) = 0;

  // The span is valid during the reply only; shorter than asked only at the end of the file.
  virtual void read(const Caller&, Number number, size_t size, uint64_t offset,
                    Reply<std::span<const std::byte>> reply) = 0;
  virtual void write(const Caller&, Number number, std::span<const std::byte> bytes, uint64_t offset,
                     Reply<size_t> reply) = 0;
  virtual void sync_file(const Caller&, Number number, Reply<Ok> reply) = 0;
  // Durable: everything that was renamed into place in this directory before.
  virtual void sync_directory(const Caller&, Number number, Reply<Ok> reply) = 0;

  // Names after `offset` (0 is the beginning; else a next_offset given before) go to `filler` until it is full. "." and
  // ".." are among them, and never count as handed out. Answered before the call returns.
  virtual void read_directory(const Caller&, Number number, uint64_t offset, DirectoryFiller& filler,
                              Reply<Ok> reply) = 0;
  virtual void space(const Caller&, Reply<SpaceReply> reply) = 0;

  // Where the layout completes by close, from one thread (LastCloses).
  // Names at the top that were written in place in this mount, and are not complete.
  virtual std::vector<std::string> written_in_place() { return {}; }
  // From now on it is noted whether the file at this name is written to; false when it is none to be completed.
  virtual bool note_writes(std::string_view) { return false; }
  // At a moment after note_writes() nobody had it, then `number`, open for writing; without a number: nobody can any
  // more. Completes it, unless it was written to since, or is another file now: then false, it is to be asked again.
  virtual bool last_closed(std::string_view, std::optional<Number>) { return true; }

  // The program that waits for `unique` was interrupted: a waiting request completes with FsError::interrupted.
  virtual void interrupt(uint64_t unique) = 0;

  // From the daemon's events; called by the worker's event thread.
  virtual void on_events(const EventBatch& batch) = 0;
  // Uses collected since the last call, for DaemonClient::uses().
  virtual std::vector<Use> take_uses() = 0;
  // Hands every finished but not yet committed tree to the daemon again (after its restart), and waits for none.
  virtual void resume_commits() = 0;
  // Retired entries without kernel references, not yet told to the daemon.
  virtual std::vector<uint64_t> take_released() = 0;
  // Finished trees that the daemon has not committed yet.
  virtual size_t uncommitted() const = 0;
  // The mount is gone for good: nothing is asked for any more. May wait a few seconds for databases of others.
  virtual void leave() {}
};

}  // namespace hitfs::fs
