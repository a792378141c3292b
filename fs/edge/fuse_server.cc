#include "fs/edge/fuse_server.h"

#include <sys/eventfd.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "fs/edge/current_request.h"
#include "fs/edge/request_check.h"
#include "fs/request_progress.h"
#include "fs/slots/request_counters.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};

// A request that brought two workers down is answered EIO. A death nobody can explain (an operator's kill -9, no
// memory) is not held against it so soon: whoever is killed often must not fail system calls.
constexpr uint32_t kMostCrashes = 2;
constexpr uint32_t kMostDeaths = 4;

size_t size_of(std::span<const iovec> pieces) {
  size_t size = 0;
  for (const auto& piece : pieces) size += piece.iov_len;
  return size;
}

std::span<const std::byte> bytes_of(const iovec& piece) {
  return {static_cast<const std::byte*>(piece.iov_base), piece.iov_len};
}

}  // namespace

void FuseServer::CloseSession::operator()(fuse_session* session) const { fuse_session_destroy(session); }

FuseServer::FuseServer(const FuseServerOptions& options, SlotMemory& slots, Filesystem& filesystem)
    : options_(options), slots_(&slots), filesystem_(&filesystem), in_flight_(slots) {
  session_context_.filesystem = &filesystem;
  session_context_.server = this;
}

FuseServer::~FuseServer() { stop_.request_stop(); }

Result<std::unique_ptr<FuseServer>> FuseServer::create(const FuseServerOptions& options, SlotMemory& slots,
                                                       Filesystem& filesystem) {
  std::unique_ptr<FuseServer> server(new FuseServer(options, slots, filesystem));
  server->gone_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!server->gone_) return system_error("eventfd", errno);
  if (auto opened = server->open_session(); !opened) return std::move(opened).error();
  ++slots.counters().workers;
  return server;
}

Status FuseServer::open_session() {
  std::string program = "hitfs";
  char* arguments[] = {program.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, arguments);
  session_.reset(fuse_session_new(&args, &fuse_operations(), sizeof(fuse_lowlevel_ops),
                                  static_cast<FuseContext*>(&session_context_)));
  fuse_opt_free_args(&args);
  if (!session_) return Error{Code::internal, "libfuse refused a session"};
  // The session closes its descriptor at its end: it gets one of its own.
  UniqueFd own(::fcntl(options_.fuse_fd, F_DUPFD_CLOEXEC, 3));
  if (!own) return system_error("duplicate the fuse descriptor", errno);
  fuse_custom_io io{};
  io.read = on_read;
  io.writev = on_write;
  if (int failure = fuse_session_custom_io(session_.get(), &io, own.get()); failure != 0) {
    return system_error("fuse_session_custom_io", -failure);
  }
  static_cast<void>(own.release());  // the session's from here on
  return Ok{};
}

Status FuseServer::start() {
  if (auto initialised = initialise(); !initialised) return initialised;
  settle();
  for (int i = 0; i < options_.readers; ++i) readers_.emplace_back([this] { read_requests(); });
  return Ok{};
}

// --- INIT ---

Status FuseServer::initialise() {
  auto& header = slots_->header();
  if (header.init_bytes == 0) {
    // Read by a server that died before it kept it, or still to be read: it is the first request of a connection.
    auto used = slots_->slots_in_use();
    auto slot = used.empty() ? *in_flight_.take_large({}) : used.front();
    while (used.empty() && !slots_->in_use(slot)) {
      if (!read_request(slot)) return Error{Code::unavailable, "the mount is gone"};
    }
    auto request = slots_->request_bytes(slot);
    if (slots_->request(slot).opcode != FUSE_INIT || request.size() > header.init.size()) {
      return Error{Code::internal, "the first request of the mount is no INIT: unmount it and mount it again"};
    }
    std::copy(request.begin(), request.end(), header.init.begin());
    header.init_bytes.store(static_cast<uint32_t>(request.size()), std::memory_order_release);
    in_flight_.give_back(slot);
  }
  std::vector<std::byte> request(header.init.begin(), header.init.begin() + header.init_bytes);
  process_init(request);
  const auto* answered = reinterpret_cast<const fuse_out_header*>(header.init_reply.data());
  if (header.init_reply_bytes == 0 || answered->error != 0 || fuse_session_exited(session_.get()) != 0) {
    return Error{Code::internal, "the kernel and libfuse did not agree on a protocol"};
  }
  return Ok{};
}

void FuseServer::process_init(std::span<std::byte> request) {
  init_unique_ = reinterpret_cast<const fuse_in_header*>(request.data())->unique;
  process(request);
}

// The reply to INIT is ours to amend: libfuse 3.14 never passes these two flags on. A reply that was stored is sent
// again as it is; where the kernel had it already, it answers ENOENT.
ssize_t FuseServer::send_init(std::span<const iovec> pieces) {
  auto& header = slots_->header();
  std::vector<std::byte> reply;
  for (const auto& piece : pieces) reply.insert(reply.end(), bytes_of(piece).begin(), bytes_of(piece).end());
  const auto* offered = reinterpret_cast<const fuse_init_in*>(header.init.data() + sizeof(fuse_in_header));
  if (reply.size() >= sizeof(fuse_out_header) + FUSE_COMPAT_22_INIT_OUT_SIZE) {
    auto* answer = reinterpret_cast<fuse_init_out*>(reply.data() + sizeof(fuse_out_header));
    answer->flags |= offered->flags & (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2);
  }
  std::span<const std::byte> stored = std::span(header.init_reply).first(header.init_reply_bytes);
  if (stored.empty() && reply.size() <= header.init_reply.size()) {
    std::copy(reply.begin(), reply.end(), header.init_reply.begin());
    header.init_reply_bytes.store(static_cast<uint32_t>(reply.size()), std::memory_order_release);
  } else if (!std::equal(stored.begin(), stored.end(), reply.begin(), reply.end())) {
    kLog.error("init_differs remedy=\"unmount and mount again: this hitfs negotiates another protocol\"");
    fuse_session_exit(session_.get());
    return static_cast<ssize_t>(reply.size());
  }
  iovec whole{reply.data(), reply.size()};
  write_device({&whole, 1});
  return static_cast<ssize_t>(reply.size());
}

// --- what a dead server left ---

// Stored replies first, then everything else in the order in which the kernel asked. Only this thread runs here.
void FuseServer::settle() {
  auto used = slots_->slots_in_use();
  drop_copies(used);
  std::sort(used.begin(), used.end(),
            [&](SlotIndex a, SlotIndex b) { return slots_->request(a).unique < slots_->request(b).unique; });
  for (auto slot : used) {
    if (!slots_->stored_reply(slot).empty()) resend(slot);
  }
  for (auto slot : used) {
    if (!slots_->in_use(slot)) continue;
    if (poisoned(slot)) {
      give_up(slot);
      continue;
    }
    ++slots_->counters().settled;
    serve(slot);
  }
  if (!used.empty()) kLog.info("settled requests={}", used.size());
}

// A death between the two steps of parking leaves the request in two slots: the small one is whole.
void FuseServer::drop_copies(std::vector<SlotIndex>& used) {
  auto is_copy = [&](SlotIndex slot) {
    return SlotMemory::is_large(slot) && std::any_of(used.begin(), used.end(), [&](SlotIndex other) {
             return !SlotMemory::is_large(other) && slots_->request(other).unique == slots_->request(slot).unique;
           });
  };
  auto copies = std::stable_partition(used.begin(), used.end(), [&](SlotIndex slot) { return !is_copy(slot); });
  std::for_each(copies, used.end(), [&](SlotIndex slot) { in_flight_.give_back(slot); });
  used.erase(copies, used.end());
}

void FuseServer::resend(SlotIndex slot) {
  auto reply = slots_->stored_reply(slot);
  iovec whole{const_cast<std::byte*>(reply.data()), reply.size()};
  write_device({&whole, 1});  // ENOENT: it was received before
  ++slots_->counters().resent;
  in_flight_.give_back(slot);
}

bool FuseServer::poisoned(SlotIndex slot) {
  auto& about = slots_->descriptor(slot);
  if (about.state == format::SlotState::executing) ++about.deaths;
  return about.crashes >= kMostCrashes || about.deaths >= kMostDeaths;
}

void FuseServer::give_up(SlotIndex slot) {
  const auto& asked = slots_->request(slot);
  kLog.error("request_given_up operation={} number={}", operation_name(asked.opcode), asked.nodeid);
  ++slots_->counters().poisoned;
  uint64_t unique = asked.unique;
  in_flight_.begin(unique, slot);
  answer(unique, EIO);
  in_flight_.finish(unique, slot);
}

// --- requests ---

void FuseServer::read_requests() {
  ++reading_;
  while (auto slot = in_flight_.take_large(stop_.get_token())) {
    if (stop_.stop_requested() || !read_request(*slot)) break;
    if (quiescing_) break;  // it stays in its slot for the next server
    if (slots_->in_use(*slot)) {
      serve(*slot);
    } else {
      in_flight_.give_back(*slot);
    }
  }
  stop_.request_stop();
  if (--reading_ == 0 && !quiescing_) ::eventfd_write(gone_.get(), 1);
}

// False when the connection is gone. The slot may be empty afterwards: the request was taken back in time.
bool FuseServer::read_request(SlotIndex slot) {
  auto room = slots_->payload(slot);
  ssize_t got = ::read(options_.fuse_fd, room.data(), room.size());
  if (got < 0) {
    bool again = errno == EINTR || errno == EAGAIN || errno == ENOENT;
    if (!again && errno != ENODEV) kLog.error("read_device error=\"{}\"", std::strerror(errno));
    return again;
  }
  if (got == 0) return false;
  if (static_cast<size_t>(got) < sizeof(fuse_in_header)) {
    slots_->clear(slot);
    return true;
  }
  // As long as it is, whatever it says.
  slots_->request(slot).len = static_cast<uint32_t>(got);
  slots_->descriptor(slot).since_ns = system_clock().now().time_since_epoch().count();
  auto& counters = slots_->counters();
  ++counters.read;
  ++counters.requests[std::min<size_t>(slots_->request(slot).opcode, format::kOpcodes - 1)];
  return true;
}

void FuseServer::serve(SlotIndex slot) {
  if (!is_well_formed(slots_->request_bytes(slot))) return refuse(slot);
  switch (slots_->request(slot).opcode) {
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET: return forget(slot);
    case FUSE_INTERRUPT: return interrupt(slot);
    default: return execute(slot);
  }
}

// No kernel sent it. What takes no answer gets none.
void FuseServer::refuse(SlotIndex slot) {
  const auto& asked = slots_->request(slot);
  kLog.error("request_damaged operation={} bytes={}", operation_name(asked.opcode), asked.len);
  uint64_t unique = asked.unique;
  bool takes_none = asked.opcode == FUSE_FORGET || asked.opcode == FUSE_BATCH_FORGET || asked.opcode == FUSE_INTERRUPT;
  if (takes_none || unique == init_unique_) return in_flight_.give_back(slot);
  in_flight_.begin(unique, slot);
  answer(unique, EIO);
  in_flight_.finish(unique, slot);
}

void FuseServer::execute(SlotIndex slot) {
  uint64_t unique = slots_->request(slot).unique;
  uint32_t opcode = slots_->request(slot).opcode;
  in_flight_.begin(unique, slot);
  current_request = {unique, &slots_->descriptor(slot), false};
  request_progress = &slots_->descriptor(slot).since_ns;
  process(slots_->request_bytes(slot));
  bool threw = current_request.threw;
  current_request = {};
  request_progress = nullptr;
  auto finished = in_flight_.finish(unique, slot);
  if (!finished.unanswered) return;
  if (threw) return answer(unique, EIO);
  // Too many wait: this one is a miss, as everything that takes too long.
  if (finished.no_room && opcode == FUSE_LOOKUP) return answer(unique, ENOENT);
  if (finished.interrupted) filesystem_->interrupt(unique);
}

void FuseServer::process(std::span<std::byte> request) {
  fuse_buf buffer{};
  buffer.mem = request.data();
  buffer.size = request.size();
  buffer.fd = -1;
  fuse_session_process_buf(session_.get(), &buffer);
}

// Freed before it counts: a death in between leaves a count too many, which only keeps bytes longer.
void FuseServer::forget(SlotIndex slot) {
  auto bytes = slots_->request_bytes(slot);
  std::vector<std::byte> request(bytes.begin(), bytes.end());
  in_flight_.give_back(slot);
  process(request);
}

// Not libfuse's own handling: its list of interrupts dies with the process. A request that nobody knows was answered
// meanwhile (the kernel drops our EAGAIN), or another reader is about to begin it (the kernel interrupts again).
void FuseServer::interrupt(SlotIndex slot) {
  auto bytes = slots_->request_bytes(slot);
  fuse_interrupt_in target{};
  std::memcpy(&target, bytes.data() + sizeof(fuse_in_header), sizeof(target));
  uint64_t own = slots_->request(slot).unique;
  in_flight_.give_back(slot);
  if (in_flight_.interrupt(target.unique)) return filesystem_->interrupt(target.unique);
  fuse_out_header out{sizeof(fuse_out_header), -EAGAIN, own};
  iovec whole{&out, sizeof(out)};
  write_device({&whole, 1});
}

void FuseServer::quiesce(const Deadline& until) {
  quiescing_ = true;
  stop_.request_stop();
  in_flight_.wait_idle(until);
}

// --- replies ---

ssize_t FuseServer::on_read(int, void*, size_t, void*) {
  // Never called: requests are read by read_request().
  errno = ENOSYS;
  return -1;
}

ssize_t FuseServer::on_write(int, iovec* pieces, int count, void* context) {
  auto* server = static_cast<Session*>(static_cast<FuseContext*>(context))->server;
  return server->send({pieces, static_cast<size_t>(count)});
}

ssize_t FuseServer::write_device(std::span<const iovec> pieces) {
  ssize_t written;
  do {
    written = ::writev(options_.fuse_fd, pieces.data(), static_cast<int>(pieces.size()));
  } while (written < 0 && errno == EINTR);
  return written;
}

// Every answer passes here: stored in its slot, sent, and only then the slot is free.
ssize_t FuseServer::send(std::span<const iovec> pieces) {
  const auto* out = static_cast<const fuse_out_header*>(pieces.front().iov_base);
  if (out->unique == init_unique_) return send_init(pieces);
  auto slot = in_flight_.claim(out->unique);
  if (!slot) {
    errno = ENOENT;
    return -1;
  }
  if (out->error == -EIO) ++slots_->counters().failed;
  if (size_of(pieces) <= format::kReplyBytes) {
    std::array<std::span<const std::byte>, 4> copies;
    size_t count = std::min(pieces.size(), copies.size());
    std::transform(pieces.begin(), pieces.begin() + static_cast<ptrdiff_t>(count), copies.begin(), bytes_of);
    slots_->store_reply(*slot, std::span(copies).first(count));
  }
  ssize_t written = write_device(pieces);
  int failure = errno;
  if (written < 0 && failure != ENOENT && failure != ENODEV) {
    // The kernel refused the reply itself: its caller must not hang.
    kLog.error("reply_refused error=\"{}\"", std::strerror(failure));
    fuse_out_header instead{sizeof(fuse_out_header), -EIO, out->unique};
    iovec whole{&instead, sizeof(instead)};
    write_device({&whole, 1});
  }
  in_flight_.complete(out->unique);
  errno = failure;
  return written;
}

void FuseServer::answer(uint64_t unique, int error) {
  fuse_out_header out{sizeof(fuse_out_header), -error, unique};
  iovec whole{&out, sizeof(out)};
  send({&whole, 1});
}

}  // namespace hitfs::fs
