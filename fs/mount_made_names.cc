// Names that are made when they are looked up: links into the private folder, terminal outputs of entries.
#include <algorithm>

#include "fs/mount_filesystem.h"
#include "fs/nx/own_database.h"
#include "store/base/io.h"
#include "store/base/log.h"
#include "store/layouts/nx.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr size_t kPiece = 1 << 20;
constexpr std::string_view kWorkspaces = "workspaces/";

}  // namespace

// True when the lookup is answered (or will be) here.
bool MountFilesystem::lookup_made(const Caller& caller, Number parent, std::string_view name, Reply<NodeReply>& reply) {
  if (parent == kRootNumber) {
    auto place = layout_.place(name);
    if (place.name_class != NameClass::link) return false;
    auto target = options_.store.private_folder(options_.mount_name) / place.name;
    bool workspace = place.name.starts_with(kWorkspaces);
    if (workspace) lookup_workspace(std::string(name), target, std::move(reply));
    if (!workspace) lookup_database(caller, std::string(name), target.string(), std::move(reply));
    return true;
  }
  Number folder = 0;
  {
    auto state = state_.lock();
    auto link = state->names.own_names(kRootNumber)->find(layout_.outputs_folder());
    folder = state->names.canonical(parent);
    if (!link || link->number != folder) return false;
    const auto* node = state->names.node(folder);
    if (node == nullptr || node->tree != 0 || node->children.find(name)) return false;
  }
  auto made = make_output(folder, name);
  if (!made && made.error() == FsError::exists) return false;
  made.give(std::move(reply));
  return true;
}

// Each nx that opens a shared database is seen here: the kernel keeps no such name.
void MountFilesystem::lookup_database(const Caller& caller, const std::string& name, const std::string& target,
                                      Reply<NodeReply> reply) {
  auto waiting = std::make_shared<Reply<NodeReply>>(std::move(reply));
  adopt_database_of(caller, [this, name, target, waiting] {
    auto made = make_link(name, target);
    if (made) made->entry_timeout = Nanoseconds(0);
    made.give(std::move(*waiting));
  });
}

// An nx that nobody led to a folder in this mount has its own database elsewhere.
void MountFilesystem::adopt_database_of(const Caller& caller, std::function<void()> done) {
  auto folder = own_database_folder(caller.pid, options_.mount_point);
  if (folder && *folder) {
    return rows_->adopt(**folder, [done](const Status& adopted) {
      if (!adopted) kLog.warn("nx_database outside of the mount: {}", adopted.error().message);
      done();
    });
  }
  if (!folder && !said_unseen_.exchange(true)) {
    kLog.warn(
        "{}: if it is an nx without NX_WORKSPACE_DATA_DIRECTORY (hitfs run exports it), its own database may "
        "speak of files that are gone",
        folder.error().message);
  }
  done();
}

void MountFilesystem::lookup_workspace(const std::string& name, const std::filesystem::path& target,
                                       Reply<NodeReply> reply) {
  auto waiting = std::make_shared<Reply<NodeReply>>(std::move(reply));
  mend_broken_stores();
  rows_->prepare(nx_version_in(name).value_or(""), [this, name, target, waiting](const Status& prepared) {
    // Without its database the first run finds nothing.
    if (!prepared) kLog.warn("nx_database name={} error=\"{}\"", name, prepared.error().message);
    if (auto made = io::make_directories(target, 0700, "nx workspace"); !made) {
      return waiting->fail(disk_error(made.error()));
    }
    unpacker_->when_done([this, name, target, waiting] {
      // What arrived a moment before has its row when the tool looks for it.
      rows_->when_projected(
          [this, name, target, waiting](const Status&) { make_link(name, target.string()).give(std::move(*waiting)); });
    });
  });
}

// The link as it must be now; the store may have been moved since it was made.
Answer<NodeReply> MountFilesystem::make_link(const std::string& name, const std::string& target) {
  auto log = log_.lock();
  auto there = existing(kRootNumber, name);
  if (!there) return there.error();
  if (there->exists()) {
    bool right = false;
    {
      auto state = state_.lock();
      const auto* node = state->names.node(there->number);
      right = node != nullptr && node->type == FileType::symlink && node->target == target;
    }
    // A folder of that name is from another layout; its owner must look after it.
    if (right || there->type == FileType::directory) return reply_for(*there, true);
    auto record = record_for({}, NameOp::remove);
    record.parent = kRootNumber;
    record.name = name;
    if (auto done = change(log, record); !done) return disk_error(done.error());
    collect({there->number});
  }
  auto record = record_for({}, NameOp::make_symlink);
  record.number = state_.lock()->names.take_number();
  record.parent = kRootNumber;
  record.name = name;
  record.mode = 0777;
  record.other_name = target;
  if (auto done = change(log, record); !done) return disk_error(done.error());
  return reply_for({Existing::Kind::staged, record.number, FileType::symlink}, true);
}

// `exists` when there is nothing to make, or somebody was quicker.
Answer<NodeReply> MountFilesystem::make_output(Number folder, std::string_view name) {
  auto visible = visible_entry(name);
  if (!visible.entry) return FsError::exists;
  auto top = committed_.top(*visible.entry);
  auto text = top ? top->manifest->view().header().terminal_output : std::nullopt;
  if (!text) return FsError::exists;
  auto record = record_for({}, NameOp::create);
  record.number = state_.lock()->names.take_number();
  record.parent = folder;
  record.name = name;
  record.mode = 0644;
  auto made = copy_blob(*text, record.number);
  if (made) {
    auto log = log_.lock();
    auto there = existing(folder, name);
    bool free = there && !there->exists();
    auto done = free ? change(log, record) : Status(Error{Code::internal, "made meanwhile"});
    if (done) return reply_for({Existing::Kind::staged, record.number, FileType::file}, false);
    made = free ? disk_error(done.error()) : FsError::exists;
  }
  [[maybe_unused]] auto removed = staged_.remove(record.number);
  return made.error();
}

Answer<Ok> MountFilesystem::copy_blob(const Digest& blob, Number to) {
  if (auto made = staged_.truncate(to, 0); !made) return disk_error(made.error());
  std::vector<std::byte> piece(std::min<uint64_t>(blob.size, kPiece));
  for (uint64_t offset = 0; offset < blob.size; offset += piece.size()) {
    auto wanted = std::span(piece).first(std::min<uint64_t>(piece.size(), blob.size - offset));
    auto got = committed_.read_blob(blob, wanted, offset);
    // nx takes a missing text for an empty one.
    if (!got || *got != wanted.size()) return FsError::not_found;
    if (auto written = staged_.write(to, wanted, offset); !written) return disk_error(written.error());
  }
  return Ok{};
}

// The terminal output of `hash`, copied beside the draft of `tree`: the tool goes on writing to its own file.
Result<std::optional<Digest>> MountFilesystem::stage_output(uint64_t tree, const std::string& hash) {
  Number number = 0;
  {
    auto state = state_.lock();
    auto folder = state->names.own_names(kRootNumber)->find(layout_.outputs_folder());
    const auto* node = folder ? state->names.node(folder->number) : nullptr;
    auto link = node != nullptr ? node->children.find(hash) : std::nullopt;
    const auto* file = link ? state->names.node(link->number) : nullptr;
    if (file == nullptr || file->type != FileType::file) return std::optional<Digest>{};
    number = link->number;
  }
  auto copy = io::create(staged_.folder() / output_name(tree), "terminal output", {.mode = 0600, .exclusive = false});
  if (!copy) return std::move(copy).error();
  Hasher hasher;
  std::vector<std::byte> piece(kPiece);
  for (uint64_t offset = 0;; offset += kPiece) {
    auto got = staged_.read(number, piece, offset);
    if (!got && got.error().code == Code::not_found) break;  // empty and never written
    if (!got) return std::move(got).error();
    auto bytes = std::span<const std::byte>(piece).first(*got);
    hasher.update(bytes);
    if (auto written = io::write_all(copy->get(), bytes, "terminal output"); !written)
      return std::move(written).error();
    if (*got < kPiece) break;
  }
  return std::optional(hasher.finish());
}

}  // namespace hitfs::fs
