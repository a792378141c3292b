#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "fs/answer.h"
#include "fs/commit_queue.h"
#include "fs/committed.h"
#include "fs/draft.h"
#include "fs/filesystem.h"
#include "fs/mount_state.h"
#include "fs/names/names_log.h"
#include "fs/nx/row_keeper.h"
#include "fs/nx/unpacker.h"
#include "fs/pending_lookups.h"
#include "fs/staged_files.h"
#include "fs/task_queue.h"
#include "store/base/guarded.h"

namespace hitfs::fs {

// The Filesystem of a mount.
//
// Two locks. `log_` orders changes: whoever changes a name holds it from the check to the record, so it spans the write
// of that record (into the page cache) and lookups in the store; readers never take it. `state_` is taken after it, or
// alone, and never during I/O. Replies are sent with neither.
//
// Threads: the caller's; one of PendingLookups; those of CommitQueue, which wait for the daemon; one of `tasks_` for
// what may take long on the local disk (synchronising, comparing) or may wait for nobody in particular (reports).
//
// The implementation is spread over mount_*.cc by what it is about.
class MountFilesystem final : public Filesystem, private RowSource {
 public:
  MountFilesystem(FilesystemOptions options, const Layout& layout, StoreReader& reader, DaemonClient& daemon,
                  References& references, KernelNotifier& notifier);
  ~MountFilesystem() override;

  // Replays the log; to be called once, before everything else.
  Status start();

  void lookup(const Caller&, Number parent, std::string_view name, Reply<NodeReply> reply) override;
  void forget(Number number, uint64_t count) override;
  void get_attributes(const Caller&, Number number, Reply<AttributesReply> reply) override;
  void set_attributes(const Caller&, Number number, const AttributeChange& change,
                      Reply<AttributesReply> reply) override;
  void read_link(const Caller&, Number number, Reply<std::string> reply) override;
  void make_directory(const Caller&, Number parent, std::string_view name, uint16_t mode,
                      Reply<NodeReply> reply) override;
  void make_symlink(const Caller&, Number parent, std::string_view name, std::string_view target,
                    Reply<NodeReply> reply) override;
  void create(const Caller&, Number parent, std::string_view name, uint16_t mode, Reply<NodeReply> reply) override;
  void unlink(const Caller&, Number parent, std::string_view name, Reply<Ok> reply) override;
  void remove_directory(const Caller&, Number parent, std::string_view name, Reply<Ok> reply) override;
  void rename(const Caller&, Number parent, std::string_view name, Number new_parent, std::string_view new_name,
              RenameMode mode, Reply<Ok> reply) override;
  void read(const Caller&, Number number, size_t size, uint64_t offset,
            Reply<std::span<const std::byte>> reply) override;
  void write(const Caller&, Number number, std::span<const std::byte> bytes, uint64_t offset,
             Reply<size_t> reply) override;
  void sync_file(const Caller&, Number number, Reply<Ok> reply) override;
  void sync_directory(const Caller&, Number number, Reply<Ok> reply) override;
  void read_directory(const Caller&, Number number, uint64_t offset, DirectoryFiller& filler, Reply<Ok> reply) override;
  void space(const Caller&, Reply<SpaceReply> reply) override;
  std::vector<std::string> written_in_place() override;
  bool note_writes(std::string_view name) override;
  bool last_closed(std::string_view name, std::optional<Number> number) override;
  void interrupt(uint64_t unique) override;
  void on_events(const EventBatch& batch) override;
  std::vector<Use> take_uses() override;
  void resume_commits() override;
  std::vector<uint64_t> take_released() override;
  size_t uncommitted() const override;
  void leave() override;

 private:
  using Log = Guarded<std::unique_ptr<NamesLog>>::Lock;
  using TreeToCommit = std::pair<uint64_t, std::string>;  // its number and top-level name
  // Of a change that found rows in its way: nothing was changed, and it is to be done again when they are gone.
  struct RowsFirst {
    std::string hash{};      // rows of this entry; "" for none
    bool promise = false;    // only those that promise it
    std::string database{};  // or this whole database
    [[nodiscard]] bool any() const { return !hash.empty() || !database.empty(); }
  };

  // What a name shows in this mount.
  struct Existing {
    enum class Kind { nothing, staged, frozen, committed } kind = Kind::nothing;
    Number number = 0;  // canonical
    FileType type = FileType::file;
    uint64_t entry_id = 0;  // when committed
    bool at_top = false;    // the entry itself
    bool hidden = false;    // nothing, and no remote is asked either
    [[nodiscard]] bool exists() const { return kind != Kind::nothing; }
  };

  // mount_start.cc
  Status replay();
  Status begin_session();
  void sweep();
  void complete_missed_markers(Log& log);
  void collect_unreferenced();
  void know_retired();

  // mount_lookup.cc
  Answer<Existing> existing(Number parent, std::string_view name);
  struct Visible {
    std::optional<Entry> entry;
    bool hidden = false;  // "not here": no remote is asked either
  };
  Visible visible_entry(std::string_view name);
  Answer<Attributes> attributes_of(Number number);
  // What is known of a number without asking disk or store.
  struct Known {
    Number number = 0;  // canonical
    std::optional<StagedFacts> staged;
    uint64_t target_size = 0;
    std::shared_ptr<const Draft> draft;
    std::optional<OverlayFacts> changed;
  };
  Known known(Number number);
  // Nothing when the staged file is gone because its tree became an entry meanwhile: ask again.
  std::optional<Answer<Attributes>> staged_attributes(const Known& known);
  Answer<Attributes> committed_attributes(const CommittedNode& node);
  Attributes root_attributes();
  Answer<Attributes> overlaid(Attributes attributes, const std::optional<OverlayFacts>& changed) const;
  NodeReply node_reply(const Attributes& attributes, bool in_root);
  AttributesReply attributes_reply(const Attributes& attributes);
  bool hand_out(Number number, uint64_t entry_id, uint64_t count = 1);
  std::optional<Answer<NodeReply>> lookup_here(Number parent, std::string_view name);
  Answer<NodeReply> reply_for(const Existing& found, bool in_root);
  void count_use(Number entry_id);
  void report_damage(Number number, const Error& error);

  // mount_changes.cc
  Status change(Log& log, const NameRecord& record);
  void compact_when_worthwhile(Log& log);
  NameRecord record_for(const Caller& caller, NameOp op);
  std::optional<Number> done_before(const Caller& caller);
  void make(const Caller& caller, Number parent, std::string_view name, NameRecord record, Reply<NodeReply> reply);
  Answer<NodeReply> make_checked(const Caller& caller, Number parent, std::string_view name, NameRecord record,
                                 RowsFirst& rows);
  Answer<Ok> remove(const Caller& caller, Number parent, std::string_view name, bool directory, RowsFirst& rows);
  Answer<bool> is_empty(const Existing& directory);
  Answer<Ok> rename_checked(const Caller& caller, Number parent, std::string_view name, Number new_parent,
                            std::string_view new_name, RenameMode mode, RowsFirst& rows);
  Answer<Ok> may_rename(const Existing& source, Number new_parent, const Existing& target, RenameMode mode);
  bool is_below(Number number, Number ancestor);
  bool completes_by_rename(Number parent, std::string_view name, Number new_parent, std::string_view new_name,
                           const Existing& source) const;
  void complete_by_marker(Log& log, Number parent, std::string_view name);
  void collect(const std::vector<Number>& numbers);
  void clean_up_dropped();

  // mount_data.cc
  Answer<Number> begin_write(Number number, uint64_t keep);
  void end_write(Number data);
  Answer<Ok> copy_up(Number number, uint64_t keep);
  Answer<Ok> copy_bytes(Number from, Number to, uint64_t keep);
  Answer<size_t> read_lower(Number number, std::span<std::byte> into, uint64_t offset);
  Answer<size_t> read_bytes(Number number, std::span<std::byte> into, uint64_t offset);
  Answer<size_t> read_lower_patiently(Number number, std::span<std::byte> into, uint64_t offset);
  void when_moved(Number number, std::function<void()> then);
  void read_again_later(Number number, size_t size, uint64_t offset, Reply<std::span<const std::byte>> reply);
  Answer<Ok> resize(Number number, uint64_t size);
  void tell_other_numbers(Number number);
  Answer<Ok> set_times(const Caller& caller, Number number, const AttributeChange& change);
  Answer<Ok> record_attributes(NameRecord record);
  Answer<Ok> sync_staging(const std::set<uint64_t>& trees);

  // mount_commit.cc
  CommitOutcome commit_tree(uint64_t tree, const std::stop_token& stop);
  bool drop_superseded(uint64_t tree);
  bool drop_unlinked(uint64_t tree);
  bool drop_when(uint64_t tree, const std::function<bool(const NameTree&, const FrozenTree&)>& unwanted);
  bool drop_older(Log& log, uint64_t tree);
  bool drop_tree(Log& log, uint64_t tree);
  void keep_times(Number number);
  void remove_draft(uint64_t tree);
  Result<std::shared_ptr<const Draft>> draft_of(uint64_t tree, const std::stop_token& stop);
  Result<std::vector<DraftNode>> frozen_nodes(uint64_t tree, const std::stop_token& stop);
  std::optional<uint64_t> committed_already(const Draft& draft);
  CommitOutcome became_entry(uint64_t tree, uint64_t entry_id);
  [[nodiscard]] std::string draft_name(uint64_t tree) const {
    return std::to_string(tree).append(StagedFiles::kDraftSuffix);
  }
  [[nodiscard]] std::string output_name(uint64_t tree) const {
    return std::to_string(tree).append(StagedFiles::kOutputSuffix);
  }
  CommitOutcome keep_here(uint64_t tree);

  // mount_closes.cc
  static Number data_written(const MountState& state, Number number);
  bool hold_writes(Number number, Number data);
  void let_write(Number number);
  bool complete_in_place(Number number, std::string_view name);
  bool settle_overlay(Number number, Number data, std::string_view name);
  Answer<Ok> record_overlay(Number number, Number data, std::string_view name, bool same);
  Answer<bool> same_bytes(Number lower, Number data);

  // mount_directory.cc
  // What one name of a listing is, before its attributes are asked for.
  struct ListedName {
    std::string name;
    Number number = 0;
    FileType type = FileType::file;
    uint64_t entry_id = 0;     // of a committed number
    bool handed_out = true;    // as in NodeReply
    uint64_t next_offset = 0;  // the listing goes on after this name with it
    bool resolve = false;      // by its name: it is an entry's meanwhile
  };
  using ListedNames = std::vector<ListedName>;
  Answer<Ok> list(Number number, uint64_t offset, DirectoryFiller& filler);
  bool list_dots(const Attributes& directory, uint64_t offset, DirectoryFiller& filler);
  bool list_own(Number number, uint64_t offset, DirectoryFiller& filler);
  ListedNames own_page(Number number, uint64_t before);
  bool resolve(Number directory, ListedName& listed);
  bool list_children(Number directory, uint64_t offset, DirectoryFiller& filler);
  bool list_entries(uint64_t offset, DirectoryFiller& filler);
  bool fill(const ListedNames& names, bool in_root, DirectoryFiller& filler);
  Number parent_of(Number directory);

  // mount_rows.cc
  Status start_rows();
  bool publish(const std::string& hash) override;
  Result<std::set<std::string>> names() override;
  std::string hash_above(Number parent, std::string_view name);
  bool rows_in_the_way(Number parent, std::string_view name, RowsFirst& rows);
  bool rename_has_rows_in_the_way(Number parent, std::string_view name, Number new_parent, std::string_view new_name,
                                  const Existing& target, RowsFirst& rows);
  template <typename T>
  void after_rows(const RowsFirst& rows, std::function<Answer<T>(RowsFirst&)> change, Reply<T> reply);
  bool shows_whole(const MountState& state, const std::string& name, const Entry& entry) const;
  std::optional<Entry> published_entry(std::string_view name);
  bool lingers(const std::string& name, uint64_t entry_id);
  void show_for_a_while(const Entry& retired);
  void take_rows_away(const std::string& name, uint64_t entry_id);
  void end_lingering();
  void check_published();
  void unpack_what_is_packed();

  // mount_announced.cc
  std::vector<std::string> announced() override;
  bool announce(const std::string& hash) override;
  void read_announcements(const EventBatch& batch);
  bool is_promised(std::string_view name);
  void lookup_promised(const Key& key, const std::string& name, uint64_t unique, Reply<NodeReply> reply);
  void give_up(const std::string& name, const std::shared_ptr<Reply<NodeReply>>& waiting);
  bool promise_in_the_way(Number parent, std::string_view name, RowsFirst& rows);

  // mount_stores.cc
  void note_miss(std::string_view name);
  bool is_being_stored(const MountState& state, std::string_view name) const;
  void show_what_was_kept_back();
  void find_broken_stores(bool new_mount);
  void note_store(const Caller& caller, std::string_view name, std::string_view new_name);
  void mend_broken_stores();
  Answer<Ok> mend_store(const std::string& aside);
  Answer<Ok> drop_names(Log& log, Number parent, const std::string& name, Number number);

  // mount_made_names.cc
  bool lookup_made(const Caller& caller, Number parent, std::string_view name, Reply<NodeReply>& reply);
  void lookup_database(const Caller& caller, const std::string& name, const std::string& target,
                       Reply<NodeReply> reply);
  void lookup_workspace(const std::string& name, const std::string& place, Reply<NodeReply> reply);
  void make_private_place();
  std::string private_target(const std::string& name);
  void adopt_database_of(const Caller& caller, std::function<void()> done);
  Answer<NodeReply> make_link(const std::string& name, const std::string& target);
  Answer<NodeReply> make_output(Number folder, std::string_view name);
  Answer<Ok> copy_blob(const Digest& blob, Number to);
  Result<std::optional<Digest>> stage_output(uint64_t tree, const std::string& hash);

  // mount_events.cc
  void on_committed(const DaemonEvent& event);
  void on_retired(const DaemonEvent& event);
  void invalidate_names(uint64_t entry_id);
  bool is_held(uint64_t entry_id);
  void forget_overlays(uint64_t entry_id, uint32_t span);

  [[nodiscard]] int64_t now_ns() const { return options_.clock->unix_ns(); }

  const FilesystemOptions options_;
  const Layout& layout_;
  DaemonClient& daemon_;
  References& references_;
  KernelNotifier& notifier_;
  Committed committed_;
  StagedFiles staged_;
  std::stop_source stopping_;  // ends waits of requests when the object goes
  mutable Guarded<std::unique_ptr<NamesLog>> log_;
  mutable Guarded<MountState> state_;
  std::atomic<uint64_t> next_compaction_{0};  // size of the log
  uint64_t announcements_read_ = 0;           // of the thread that tells of events
  // Last, so that their threads end before the rest goes.
  std::unique_ptr<TaskQueue> tasks_;
  std::unique_ptr<RowKeeper> rows_;  // where the layout has rows
  std::atomic<bool> said_unseen_{false}, shows_private_{false};
  std::unique_ptr<Unpacker> unpacker_;
  std::unique_ptr<CommitQueue> commits_;
  std::unique_ptr<PendingLookups> lookups_;
};

}  // namespace hitfs::fs
