#include "tests/support/dns_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <stdexcept>

namespace hitfs::testing {

namespace {

// Nobody else's: name servers of machines are 127.0.0.1, .11 or .53.
constexpr const char* kAddress = "127.53.71.9";
constexpr size_t kHeader = 12, kTypeA = 1;
constexpr Milliseconds kNamespaceLimit{5'000};

UniqueFd bind_socket() {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(53);
  ::inet_pton(AF_INET, kAddress, &address.sin_addr);
  if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error(std::string("no name server on ") + kAddress);
  }
  return fd;
}

// The answer to a query with one question: header, question, and an address for questions of type A.
std::string answer_to(const std::string& query, bool known) {
  auto end = query.find('\0', kHeader);
  if (end == std::string::npos || end + 5 > query.size()) return "";
  auto question = query.substr(kHeader, end + 5 - kHeader);
  bool address = known && static_cast<size_t>(question[question.size() - 3]) == kTypeA;
  std::string answer = query.substr(0, 2) + (known ? "\x81\x80" : "\x81\x83");
  answer += std::string("\0\1\0", 3) + (address ? '\1' : '\0') + std::string(4, '\0') + question;
  // Of the name in the question: type A, class IN, not to be kept, 127.0.0.1.
  if (address) answer += std::string("\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1", 16);
  return answer;
}

}  // namespace

DnsServer::DnsServer(const std::filesystem::path& folder, Mood mood)
    : configuration_(folder / "resolv.conf"),
      mood_(mood),
      socket_(bind_socket()),
      stop_(::eventfd(0, EFD_CLOEXEC)),
      thread_([this] { serve(); }) {
  std::ofstream(configuration_) << "nameserver " << kAddress << "\nsearch .\n";
}

DnsServer::~DnsServer() { ::eventfd_write(stop_.get(), 1); }

bool DnsServer::possible() {
  return ::geteuid() == 0 && run({{"unshare", "--mount", "true"}, {}, {}}, kNamespaceLimit).code == 0;
}

void DnsServer::serve() {
  std::array<pollfd, 2> waiting{pollfd{socket_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
  while (::poll(waiting.data(), waiting.size(), -1) > 0 && waiting[1].revents == 0) {
    std::string query(512, '\0');
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    auto* raw = reinterpret_cast<sockaddr*>(&from);
    auto got = ::recvfrom(socket_.get(), query.data(), query.size(), 0, raw, &size);
    if (got < static_cast<ssize_t>(kHeader)) continue;
    query.resize(static_cast<size_t>(got));
    ++asked_;
    if (mood_ == Mood::silent) continue;
    auto answer = answer_to(query, mood_ == Mood::loopback);
    ::sendto(socket_.get(), answer.data(), answer.size(), MSG_NOSIGNAL, raw, size);
  }
}

Command DnsServer::asking_it(Command command) const {
  std::vector<std::string> words{"unshare",
                                 "--mount",
                                 "sh",
                                 "-c",
                                 "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"",
                                 "sh",
                                 configuration_.string()};
  words.insert(words.end(), command.arguments.begin(), command.arguments.end());
  command.arguments = std::move(words);
  return command;
}

}  // namespace hitfs::testing
