#include "fs/edge/crash_blame.h"

#include <array>
#include <csignal>

#include "fs/edge/current_request.h"

namespace hitfs::fs {

namespace {

constexpr std::array kFatal{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
std::array<struct sigaction, kFatal.size()> g_before;

// Returning repeats the faulting instruction (or lets abort() go on) with the handler that was there before.
extern "C" void on_fatal_signal(int number) {
  auto* descriptor = current_request.descriptor;
  if (descriptor != nullptr) ++descriptor->crashes;
  current_request.descriptor = nullptr;
  for (size_t i = 0; i < kFatal.size(); ++i) {
    if (kFatal[i] == number) ::sigaction(number, &g_before[i], nullptr);
  }
}

}  // namespace

void blame_requests_for_crashes() {
  struct sigaction action {};
  action.sa_handler = on_fatal_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_ONSTACK;
  for (size_t i = 0; i < kFatal.size(); ++i) ::sigaction(kFatal[i], &action, &g_before[i]);
}

}  // namespace hitfs::fs
