#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/entry_store.h"
#include "sync/fetcher.h"
#include "sync/pusher.h"
#include "sync/remote_set.h"
#include "sync/scratch.h"
#include "sync/sessions.h"
#include "sync/timer_queue.h"
#include "tests/support/fake_remote.h"
#include "tests/support/temp_dir.h"

namespace hitfs::testing {

// A real store in a folder of its own with what the daemon's parts need, and fakes for remotes.
class DaemonParts {
 public:
  explicit DaemonParts(Milliseconds budget = Milliseconds(10'000)) : sessions(budget) {
    auto opened = EntryStore::open(paths, {});
    if (!opened) throw std::runtime_error(opened.error().message);
    store = *std::move(opened);
    scratch = *Scratch::open(paths.staging("daemon"));
  }
  ~DaemonParts() { timers.stop(); }

  FakeRemote& add_remote(const std::string& name, RemoteMode mode = RemoteMode::readwrite) {
    auto fake = std::make_unique<FakeRemote>();
    auto& reference = *fake;
    pending_.push_back(configured(name, std::move(fake), mode));
    return reference;
  }
  // After the last add_remote().
  RemoteSet& remote_set() {
    if (!remotes_) remotes_ = std::make_unique<RemoteSet>(std::move(pending_));
    return *remotes_;
  }

  // Commits an entry of one file as a front would, with a push to every writable remote.
  Committed commit_file(const Key& key, const std::string& bytes) {
    auto intake = store->begin();
    auto digest = intake->add_blob(io::as_bytes(bytes)).value();
    ManifestBuilder tree;
    tree.root_file(0644, 0, bytes.size(), digest);
    ManifestHeader header;
    header.key = key;
    header.kind = EntryKind::file;
    CommitOptions options;
    options.push_to = remote_set().push_targets();
    return intake->commit(tree, header, options).value();
  }

  TempDir dir;
  StorePaths paths{dir / "store"};
  Sessions sessions;
  TimerQueue timers;
  std::unique_ptr<EntryStore> store;
  std::unique_ptr<Scratch> scratch;

 private:
  std::vector<std::unique_ptr<ConfiguredRemote>> pending_;
  std::unique_ptr<RemoteSet> remotes_;
};

}  // namespace hitfs::testing
