// Entries that a remote is known to have and that are not here: a row promises them where a row without files is a
// miss, and a lookup asks for them.
#include <algorithm>

#include "fs/mount_filesystem.h"
#include "store/base/json.h"
#include "store/base/log.h"

namespace hitfs::fs {

namespace {

constexpr log::Logger kLog{log::Folder::fs};
constexpr Milliseconds kAnswerLimit{5000};

}  // namespace

// On the thread that tells of events, which may wait for the daemon. What cannot be read is not promised.
void MountFilesystem::read_announcements(const EventBatch& batch) {
  if (!rows_) return;
  if (batch.reset) announcements_read_ = 0;
  bool any = std::any_of(batch.events.begin(), batch.events.end(),
                         [](const DaemonEvent& event) { return event.kind == DaemonEvent::Kind::announced; });
  if (!any && !batch.reset) return;
  auto answer = daemon_.call("GET", "/v1/announced?after=" + std::to_string(announcements_read_), Json(),
                             Deadline::after(kAnswerLimit));
  if (!answer) return kLog.info("announcements not_read=\"{}\"", answer.error().message);
  const Json page = *std::move(answer);
  announcements_read_ = static_cast<uint64_t>(page["next"].integer_or(0));
  std::vector<std::string> names;
  for (const auto& item : page["keys"].items()) {
    auto key = Key::parse(item.text_or(""), "");
    if (key && committed_.key_of(key->name) == *key) names.push_back(key->name);
  }
  {
    auto state = state_.lock();
    for (const auto& name : names) state->announced.add(name);
  }
  rows_->announce(names);
}

std::vector<std::string> MountFilesystem::announced() { return state_.lock()->announced.all(); }

bool MountFilesystem::announce(const std::string& hash) {
  auto found = committed_.find(hash);
  bool shown = !found || *found || published_entry(hash);
  auto state = state_.lock();
  auto* known = state->announced.find(hash);
  if (known == nullptr || *known == AnnouncedNames::State::given_up || shown) return false;
  const auto* own = state->names.own_names(kRootNumber);
  if (own->find(hash) || is_being_stored(*state, hash) || state->names.whiteout(hash) != nullptr) return false;
  *known = AnnouncedNames::State::promised;
  state->without_rows.erase(hash);
  return true;
}

bool MountFilesystem::is_promised(std::string_view name) {
  auto state = state_.lock();
  auto* known = state->announced.find(name);
  return known != nullptr && *known != AnnouncedNames::State::told;
}

// Waits as any lookup of a remote. What does not come is no hit.
void MountFilesystem::lookup_promised(const Key& key, const std::string& name, uint64_t unique,
                                      Reply<NodeReply> reply) {
  auto waiting = std::make_shared<Reply<NodeReply>>(std::move(reply));
  bool given_up = false;
  {
    auto state = state_.lock();
    auto* known = state->announced.find(name);
    given_up = known != nullptr && *known == AnnouncedNames::State::given_up;
  }
  if (given_up) return give_up(name, waiting);
  auto failed = [this, name, waiting](FsError error) {
    // The program gave up, not the remote.
    if (error == FsError::interrupted) return waiting->fail(error);
    give_up(name, waiting);
  };
  lookups_->wait_for(key, name, unique, {[waiting](const NodeReply& node) { waiting->send(node); }, std::move(failed)});
}

// The rows go before the answer: whoever hears it builds, and the row of that build must stay. When they cannot go the
// answer is the same, because a row without files is a miss there, and whoever makes that name tries again.
void MountFilesystem::give_up(const std::string& name, const std::shared_ptr<Reply<NodeReply>>& waiting) {
  bool first = false;
  {
    auto state = state_.lock();
    auto* known = state->announced.find(name);
    first = known != nullptr && *known == AnnouncedNames::State::promised;
    if (first) *known = AnnouncedNames::State::given_up;
  }
  auto answer = [this, name, waiting](const Status&) {
    note_miss(name);       // the tool may be about to store it
    rows_->project(name);  // it may have come a moment too late
    waiting->fail(FsError::not_found);
  };
  // Others wait for the first one's rows.
  if (!first) return rows_->when_projected(answer);
  rows_->withdraw(name, [this, name, answer](const Status& removed) {
    if (removed) state_.lock()->announced.erase(name);
    if (!removed) kLog.warn("rows of={} stay: {}", name, removed.error().message);
    answer(removed);
  });
}

// With the log locked. Something is about to be made under a name whose row says that it is there: a tool that reads
// the row would take what is half made for the whole.
bool MountFilesystem::promise_in_the_way(Number parent, std::string_view name, RowsFirst& rows) {
  if (!rows_ || parent != kRootNumber) return false;
  auto state = state_.lock();
  auto* known = state->announced.find(name);
  if (known == nullptr) return false;
  bool has_rows = *known != AnnouncedNames::State::told;
  if (has_rows) rows = {.hash = std::string(name), .promise = true};
  if (!has_rows) state->announced.erase(name);
  return has_rows;
}

}  // namespace hitfs::fs
