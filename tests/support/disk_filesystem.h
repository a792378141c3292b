#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "fs/filesystem.h"

namespace hitfs::testing {

// A Filesystem without any policy for tests of the FUSE edge. Node N is the file, directory or symlink FOLDER/N; a
// directory holds one symlink per name, whose target is the number. Everything is on disk before it is answered, and a
// changing request that comes again with its unique is recognised, so it may be killed at any moment.
//
// Some names misbehave: LOOKUP of "parked-*" is answered by release() only, or interrupted; "crash-*" aborts the
// process, "stall-*" never returns, "throw-*" throws, "late-*" is answered "not found" from another thread.
class DiskFilesystem final : public fs::Filesystem {
 public:
  struct Options {
    std::filesystem::path folder;
    Nanoseconds directory_timeout = std::chrono::seconds(1);  // for the attributes of directories
  };
  DiskFilesystem(Options options, fs::References& references);
  ~DiskFilesystem() override;

  // Answers every parked lookup with "not found", and returns when no answer is under way. Call it before the end of
  // the server that the replies belong to.
  void release();

  void lookup(const fs::Caller&, fs::Number parent, std::string_view name, fs::Reply<fs::NodeReply> reply) override;
  void forget(fs::Number number, uint64_t count) override;
  void get_attributes(const fs::Caller&, fs::Number number, fs::Reply<fs::AttributesReply> reply) override;
  void set_attributes(const fs::Caller&, fs::Number number, const fs::AttributeChange& change,
                      fs::Reply<fs::AttributesReply> reply) override;
  void read_link(const fs::Caller&, fs::Number number, fs::Reply<std::string> reply) override;
  void make_directory(const fs::Caller&, fs::Number parent, std::string_view name, uint16_t mode,
                      fs::Reply<fs::NodeReply> reply) override;
  void make_symlink(const fs::Caller&, fs::Number parent, std::string_view name, std::string_view target,
                    fs::Reply<fs::NodeReply> reply) override;
  void create(const fs::Caller&, fs::Number parent, std::string_view name, uint16_t mode,
              fs::Reply<fs::NodeReply> reply) override;
  void unlink(const fs::Caller&, fs::Number parent, std::string_view name, fs::Reply<Ok> reply) override;
  void remove_directory(const fs::Caller&, fs::Number parent, std::string_view name, fs::Reply<Ok> reply) override;
  void rename(const fs::Caller&, fs::Number parent, std::string_view name, fs::Number new_parent,
              std::string_view new_name, RenameMode mode, fs::Reply<Ok> reply) override;
  void read(const fs::Caller&, fs::Number number, size_t size, uint64_t offset,
            fs::Reply<std::span<const std::byte>> reply) override;
  void write(const fs::Caller&, fs::Number number, std::span<const std::byte> bytes, uint64_t offset,
             fs::Reply<size_t> reply) override;
  void sync_file(const fs::Caller&, fs::Number number, fs::Reply<Ok> reply) override;
  void sync_directory(const fs::Caller&, fs::Number number, fs::Reply<Ok> reply) override;
  void read_directory(const fs::Caller&, fs::Number number, uint64_t offset, fs::DirectoryFiller& filler,
                      fs::Reply<Ok> reply) override;
  void space(const fs::Caller&, fs::Reply<fs::SpaceReply> reply) override;
  void interrupt(uint64_t unique) override;
  void on_events(const EventBatch&) override {}
  std::vector<Use> take_uses() override { return {}; }
  void resume_commits() override {}
  std::vector<uint64_t> take_released() override { return {}; }
  [[nodiscard]] size_t uncommitted() const override { return 0; }

 private:
  [[nodiscard]] std::filesystem::path node(fs::Number number) const { return options_.folder / std::to_string(number); }
  [[nodiscard]] std::filesystem::path link(fs::Number parent, std::string_view name) const;
  [[nodiscard]] fs::Number target(const std::filesystem::path& link) const;  // 0 when there is none
  [[nodiscard]] Result<fs::NodeReply> describe(fs::Number number) const;
  // Puts the new node `number` under a name, or removes it again.
  void add_name(fs::Number number, fs::Number parent, std::string_view name, fs::Reply<fs::NodeReply>& reply);
  void take_name(const fs::Caller&, fs::Number parent, std::string_view name, bool directory, fs::Reply<Ok>& reply);
  void misbehave(const fs::Caller&, std::string_view name, fs::Reply<fs::NodeReply>& reply);

  Options options_;
  fs::References* references_;
  std::mutex mutex_;  // names
  std::mutex parked_mutex_;
  std::map<uint64_t, fs::Reply<fs::NodeReply>> parked_;
  std::vector<std::jthread> late_;
};

}  // namespace hitfs::testing
