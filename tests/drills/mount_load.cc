#include "tests/drills/mount_load.h"

#include <grp.h>
#include <unistd.h>

#include <thread>

#include "tests/drills/model_folder.h"

namespace hitfs::testing {

namespace {

constexpr Milliseconds kEnd{60'000};
constexpr int kNoSuchUser = 77;

bool become(uid_t user) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(user, user, user) == 0 && ::setresuid(user, user, user) == 0;
}

}  // namespace

MountLoad::MountLoad(Plan plan) : plan_(std::move(plan)) {
  for (int i = 0; i < plan_.processes; ++i) {
    processes_.push_back(std::make_unique<TestProcess>([this, i] { return carry_out(i); }));
  }
}

MountLoad::~MountLoad() { board_->stop = true; }

int MountLoad::carry_out(int process) {
  if (plan_.user && !become(*plan_.user)) return kNoSuchUser;
  std::vector<std::thread> threads;
  for (int i = 0; i < plan_.threads; ++i) {
    threads.emplace_back([this, number = process * plan_.threads + i] { work(static_cast<unsigned>(number)); });
  }
  for (auto& thread : threads) thread.join();
  return 0;
}

void MountLoad::work(unsigned thread) {
  auto number = plan_.first_thread + thread;
  CheckedCalls calls(board_->calls);
  ModelFolder folder(calls, plan_.mount / ("work" + std::to_string(number)), number);
  ModelEntries entries(calls, plan_.entries, board_->remote, plan_.mount, number);
  bool fine = true;
  for (unsigned round = 0; fine && !board_->stop; ++round) fine = round % 2 == 0 ? folder.step() : entries.step();
  if (!fine) return;
  folder.holds();
  entries.holds();
}

bool MountLoad::finish() {
  board_->stop = true;
  bool fine = true;
  for (auto& process : processes_) fine &= process->wait(kEnd) == 0;
  return fine;
}

}  // namespace hitfs::testing
