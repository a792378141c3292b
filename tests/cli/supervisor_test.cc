#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <optional>

#include "cli/supervisor/mount_driver.h"
#include "store/base/io.h"
#include "store/base/socket.h"
#include "store/key.h"
#include "store/mount_lock.h"
#include "tests/cli/supervisor_fixture.h"
#include "tests/support/raw_http.h"

namespace hitfs::testing {

namespace {

uint16_t port_of(const Json& lease) {
  auto url = lease["url"].text_or("");
  return static_cast<uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

std::string read_all(int socket) {
  std::string text;
  char piece[64];
  for (ssize_t got; (got = ::read(socket, piece, sizeof(piece))) > 0;) text.append(piece, static_cast<size_t>(got));
  return text;
}

// Connects to 127.0.0.1:port and reads what comes: the process id of the listener. Nothing when the port refuses; ""
// from a listener that died meanwhile.
std::optional<std::string> ask_port(uint16_t port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) return std::nullopt;
  return read_all(socket.get());
}

std::string who_listens(uint16_t port) { return ask_port(port).value_or(""); }

void wait_until_refused(uint16_t port) {
  while (ask_port(port)) {
  }
}

std::string who_serves(const std::filesystem::path& mount_point) {
  auto socket = connect_unix(mount_point / "device", UnixSocket::stream);
  return socket ? read_all(socket->get()) : "";
}

}  // namespace

TEST_F(SupervisorFixture, LeaseStartsDaemonAndEndpoint) {
  auto client = reach();
  ASSERT_TRUE(client) << client.error().message;
  auto answer = client->request(lease(true), limit());
  ASSERT_TRUE(answer) << answer.error().message;
  const Json& said = *answer;
  EXPECT_EQ(said["token"].text_or("").size(), 64u);
  EXPECT_EQ(said["settings"].text_or(""), "settings-1");
  EXPECT_NE(who_listens(port_of(said)), "");
}

TEST_F(SupervisorFixture, FilesAreForTheirOwnerOnly) {
  auto client = reach();
  ASSERT_TRUE(client->request(lease(true), limit()));
  for (const auto& path : {store_.supervisor_socket(), store_.endpoint(), store_.root / "supervisor.log"}) {
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << path;
  }
  struct stat info {};
  ASSERT_EQ(::stat(store_.root.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(SupervisorFixture, LastLeaseEndsEverythingInOrderAfterAFlush) {
  auto ends = folder_ / "ends";
  config_["daemon"] = behaviour({"note-end", ends.string()});
  config_["flushes"] = ends.string();
  {
    auto client = reach();
    ASSERT_TRUE(client->request(lease(true), limit()));
  }
  ASSERT_TRUE(wait_until_free(store_, limit()));
  EXPECT_EQ(lines_of(ends), (std::vector<std::string>{"flush 60000", "ended"}));
  EXPECT_FALSE(std::filesystem::exists(store_.supervisor_socket()));
}

TEST_F(SupervisorFixture, TwoStartersAtOnceShareOneSupervisor) {
  auto ask = [this] {
    auto client = reach();
    if (!client) return std::pair(std::move(client), std::string(client.error().message));
    auto answer = client->request(lease(true), limit());
    std::string url = answer ? std::as_const(*answer)["url"].text_or("") : answer.error().message;
    return std::pair(std::move(client), url);
  };
  std::vector<std::future<decltype(ask())>> starters;
  for (int i = 0; i < 4; ++i) starters.push_back(std::async(std::launch::async, ask));
  std::vector<decltype(ask())> leases;
  for (auto& starter : starters) leases.push_back(starter.get());
  for (const auto& [client, url] : leases) {
    EXPECT_EQ(url, leases.front().second);
    EXPECT_TRUE(url.starts_with("http://127.0.0.1:")) << url;
  }
}

TEST_F(SupervisorFixture, KilledListenerComesBackOnTheSamePort) {
  auto client = reach();
  auto answer = client->request(lease(true), limit());
  ASSERT_TRUE(answer);
  auto port = port_of(*answer);
  auto first = who_listens(port);
  ASSERT_EQ(::kill(std::stoi(first), SIGKILL), 0);
  // The connect waits in the backlog meanwhile. One that the dying process had accepted already is lost.
  std::string second;
  while (second.empty() || second == first) second = who_listens(port);
  auto status = client->request(request("status"), limit());
  EXPECT_EQ(std::as_const(*status)["listener"]["restarts"].integer_or(0), 1);
}

TEST_F(SupervisorFixture, ListenerThatKeepsDyingIsGivenUpAndItsPortKnowsOnlyMisses) {
  config_["listener"] = behaviour({"once", (folder_ / "lived").string()});
  auto client = reach();
  auto answer = client->request(lease(true), limit());
  ASSERT_TRUE(answer);
  auto port = port_of(*answer);
  ASSERT_EQ(::kill(std::stoi(who_listens(port)), SIGKILL), 0);
  // Connects meanwhile wait in the backlog, or are lost with the process that had accepted them.
  RawReply get;
  while (get.status == 0) {
    RawConnection connection(port);
    connection.send("GET /v1/cache/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    get = connection.read_reply();
  }
  EXPECT_EQ(get.status, 404);
  RawConnection put(port);
  std::string body(5 << 20, 'x');
  put.send("PUT /v1/cache/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n");
  EXPECT_TRUE(put.send(body));
  EXPECT_EQ(put.read_reply().status, 403);
  auto status = client->request(request("status"), limit());
  const Json& listener = std::as_const(*status)["listener"];
  EXPECT_EQ(listener["state"].text_or(""), "failed");
  EXPECT_EQ(listener["restarts"].integer_or(0), 5);
  // Another lease is told why, and gets one when it works again.
  std::filesystem::remove(folder_ / "lived");
  auto other = ControlClient::connect(store_);
  auto again = other->request(lease(true), limit());
  ASSERT_TRUE(again);
  EXPECT_EQ(port_of(*again), port);
  EXPECT_FALSE(who_listens(port).empty());
}

TEST_F(SupervisorFixture, DaemonThatRefusesItsStoreIsQuotedToTheStarter) {
  config_["daemon"] = behaviour({"refuse", "store /x is on a network file system (nfs); use --store"});
  auto client = reach();
  auto answer = client->request(lease(true), limit());
  ASSERT_FALSE(answer);
  EXPECT_TRUE(answer.error().message.starts_with("store /x is on a network file system (nfs); use --store"))
      << answer.error().message;
  // Nothing to keep: it ends although we are still connected.
  EXPECT_TRUE(client->wait_until_closed(limit()));
}

TEST_F(SupervisorFixture, TakenPortIsRefusedWithTheRemedy) {
  auto taken = listen_tcp({"127.0.0.1", 0});
  auto port = *local_port(taken->get());
  config_["port"] = port;
  auto client = reach();
  auto answer = client->request(lease(true), limit());
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().message.find("port " + std::to_string(port)), std::string::npos);
  EXPECT_NE(answer.error().message.find("leave `port` out"), std::string::npos);
}

TEST_F(SupervisorFixture, EndpointStaysTheSameUntilStop) {
  auto ask = [this] {
    auto client = reach();
    auto answer = client->request(lease(true), limit());
    return std::as_const(*answer)["url"].text_or("") + std::as_const(*answer)["token"].text_or("");
  };
  auto first = ask();
  ASSERT_TRUE(wait_until_free(store_, limit()));
  EXPECT_EQ(ask(), first);
  ASSERT_TRUE(wait_until_free(store_, limit()));
  {
    auto client = reach();
    Json stop = request("stop");
    ASSERT_TRUE(client->request(stop, limit()));
  }
  ASSERT_TRUE(wait_until_free(store_, limit()));
  auto after = ask();
  EXPECT_NE(after.substr(after.size() - 64), first.substr(first.size() - 64));
}

TEST_F(SupervisorFixture, EndpointWhosePortIsTakenGetsANewToken) {
  auto ask = [this] {
    auto client = reach();
    return *client->request(lease(true), limit());
  };
  const Json first = ask();
  ASSERT_TRUE(wait_until_free(store_, limit()));
  auto squatter = listen_tcp({"127.0.0.1", port_of(first)});
  ASSERT_TRUE(squatter);
  const Json second = ask();
  EXPECT_NE(second["url"].text_or(""), first["url"].text_or(""));
  EXPECT_NE(second["token"].text_or(""), first["token"].text_or(""));
}

TEST_F(SupervisorFixture, StartOutlivesItsConnectionUntilStop) {
  ASSERT_TRUE(reach()->request(request("start"), limit()));
  auto client = ControlClient::connect(store_);
  ASSERT_TRUE(client);
  auto status = client->request(request("status"), limit());
  EXPECT_TRUE(std::as_const(*status)["started"].bool_or(false));
  ASSERT_TRUE(client->request(request("stop"), limit()));
  EXPECT_TRUE(client->wait_until_closed(limit()));
}

TEST_F(SupervisorFixture, ChildrenDieWithTheSupervisor) {
  auto client = reach();
  auto answer = client->request(lease(true), limit());
  auto port = port_of(*answer);
  auto status = client->request(request("status"), limit());
  ASSERT_EQ(::kill(static_cast<pid_t>(std::as_const(*status)["pid"].integer_or(0)), SIGKILL), 0);
  ASSERT_TRUE(client->wait_until_closed(limit()));
  wait_until_refused(port);
  EXPECT_TRUE(reach()->request(lease(true), limit())) << "its lock and socket must not be in the way";
}

TEST_F(SupervisorFixture, MessageThatIsNoJsonCutsTheConnectionOnly) {
  auto client = reach();
  ASSERT_TRUE(client->request(lease(false), limit()));
  auto socket = connect_unix(store_.supervisor_socket(), UnixSocket::messages);
  ASSERT_TRUE(socket);
  ASSERT_GT(::send(socket->get(), "nonsense", 8, MSG_NOSIGNAL), 0);
  EXPECT_EQ(read_all(socket->get()), "");
  auto unknown = client->request(request("dance"), limit());
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("dance"), std::string::npos);
}

TEST_F(SupervisorFixture, ChildrenGetNoDescriptorButTheirOwn) {
  auto client = reach();
  auto answer = client->request(lease(true), limit());
  auto child = who_listens(port_of(*answer));
  std::vector<std::string> numbers;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + child + "/fd")) {
    numbers.push_back(entry.path().filename().string());
  }
  std::sort(numbers.begin(), numbers.end());
  // 3 and 4 it has closed itself; 5 is the listening socket. While it answers, one more is the connection.
  std::erase(numbers, "3");
  EXPECT_EQ(numbers, (std::vector<std::string>{"0", "1", "2", "5"}));
}

class MountFixture : public SupervisorFixture {
 protected:
  std::filesystem::path make_place(const std::string& name) {
    auto place = folder_ / name;
    std::filesystem::create_directory(place);
    return place;
  }
  static Json mount(const std::filesystem::path& place, bool for_good) {
    MountRequest wanted;
    wanted.mount_point = place;
    wanted.name = place.filename();
    Json json = wanted.json();
    json["op"] = "mount";
    json["for_good"] = for_good;
    return json;
  }
  static Json unmount(const std::filesystem::path& place) {
    Json json = request("unmount");
    json["mount_point"] = percent_encode(place.native());
    json["for_good"] = true;
    return json;
  }
};

TEST_F(MountFixture, UnmountOfTheLastMountEndsEverything) {
  auto place = make_place("m");
  ASSERT_TRUE(reach()->request(mount(place, true), limit()));
  EXPECT_NE(who_serves(place), "");
  EXPECT_TRUE(mount_lives(store_, "m"));
  auto client = ControlClient::connect(store_);
  auto unmounted = client->request(unmount(place), limit());
  ASSERT_TRUE(unmounted) << unmounted.error().message;
  EXPECT_TRUE(std::as_const(*unmounted)["ending"].bool_or(false));
  EXPECT_TRUE(client->wait_until_closed(limit()));
  EXPECT_TRUE(wait_until_free(store_, limit()));
  EXPECT_FALSE(mount_lives(store_, "m"));
}

TEST_F(MountFixture, MountOfARunEndsWithTheLastOfItsConnections) {
  auto place = make_place("m");
  auto keeper = reach();
  ASSERT_TRUE(keeper->request(lease(false), limit()));
  ASSERT_TRUE(keeper->request(mount(place, false), limit()));
  {
    auto other = reach();
    ASSERT_TRUE(other->request(mount(place, false), limit()));
    Json mine = unmount(place);
    mine["for_good"] = false;
    auto unmounted = keeper->request(mine, limit());
    ASSERT_TRUE(unmounted);
    EXPECT_FALSE(std::as_const(*unmounted)["ending"].bool_or(true));
    EXPECT_NE(who_serves(place), "") << "the other one holds it";
  }
  size_t mounts = 1;
  while (mounts > 0) {
    auto status = keeper->request(request("status"), limit());
    ASSERT_TRUE(status);
    mounts = std::as_const(*status)["mounts"].items().size();
  }
  EXPECT_FALSE(mount_lives(store_, "m"));
}

TEST_F(MountFixture, JobsThatWantToBeAloneGetMountsBesideEachOther) {
  auto place = make_place("m");
  Json wanted = mount(place, false);
  wanted["alone"] = true;
  auto place_for = [&](ControlClient& client) {
    auto mounted = client.request(wanted, limit());
    return mounted ? std::as_const(*mounted)["mount_point"].text_or("") : mounted.error().message;
  };
  auto good = reach();
  ASSERT_TRUE(good->request(mount(place, true), limit()));
  auto first = reach(), second = reach(), third = reach();
  EXPECT_EQ(place_for(*first), percent_encode(place.native())) << "nobody's job has it yet";
  EXPECT_EQ(place_for(*second), percent_encode(place.native() + "-2"));
  EXPECT_EQ(place_for(*third), percent_encode(place.native() + "-3"));
  EXPECT_EQ(place_for(*first), percent_encode(place.native())) << "it has it already";
  EXPECT_NE(who_serves(place.native() + "-2"), "");
  EXPECT_NE(who_serves(place), who_serves(place.native() + "-2"));
  EXPECT_TRUE(mount_lives(store_, "m-2"));

  Json mine = unmount(place);
  mine["for_good"] = false;
  ASSERT_TRUE(first->request(mine, limit()));
  auto next = reach();
  EXPECT_EQ(place_for(*next), percent_encode(place.native())) << "free again";
}

TEST_F(MountFixture, KilledWorkerIsReplacedAndTheDeviceStays) {
  auto place = make_place("m");
  auto client = reach();
  ASSERT_TRUE(client->request(mount(place, false), limit()));
  auto first = who_serves(place);
  ASSERT_EQ(::kill(std::stoi(first), SIGKILL), 0);
  std::string second;
  while (second.empty() || second == first) second = who_serves(place);
  EXPECT_TRUE(mount_lives(store_, "m"));
}

TEST_F(MountFixture, WatchdogKillsAStalledWorker) {
  auto place = make_place("m");
  auto client = reach();
  ASSERT_TRUE(client->request(mount(place, false), limit()));
  auto first = who_serves(place);
  ASSERT_TRUE(io::create(place / "stall", "test"));
  std::string second = first;
  while (second.empty() || second == first) second = who_serves(place);
  auto status = client->request(request("status"), limit());
  EXPECT_EQ(std::as_const(*status)["mounts"].items().at(0)["stalls"].integer_or(0), 1);
}

TEST_F(MountFixture, WorkerThatWaitsForADiskIsNotTakenForStalled) {
  config_["worker"] = behaviour({"disk"});
  auto place = make_place("m");
  auto client = reach();
  ASSERT_TRUE(client->request(mount(place, false), limit()));
  auto worker = who_serves(place);
  ASSERT_TRUE(io::create(place / "stall", "test"));
  while (std::filesystem::exists(place / "stall")) std::this_thread::yield();
  auto status = client->request(request("status"), limit());
  EXPECT_EQ(std::as_const(*status)["mounts"].items().at(0)["stalls"].integer_or(-1), 0);
  EXPECT_EQ(who_serves(place), worker);
}

TEST_F(MountFixture, WorkerThatKeepsDyingIsGivenUpWithItsMount) {
  config_["worker"] = behaviour({"once", (folder_ / "lived").string()});
  auto place = make_place("m");
  auto client = reach();
  ASSERT_TRUE(client->request(mount(place, false), limit()));
  ASSERT_EQ(::kill(std::stoi(who_serves(place)), SIGKILL), 0);
  while (connect_unix(place / "device", UnixSocket::stream)) {
  }
  auto again = client->request(mount(place, false), limit());
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("ended 6 times within 60 s"), std::string::npos) << again.error().message;
  EXPECT_TRUE(client->request(unmount(place), limit()));
}

TEST_F(MountFixture, RefusedMountIsExplainedAndForgotten) {
  auto place = make_place("refused");
  auto client = reach();
  auto refused = client->request(mount(place, true), limit());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "not empty; use --force");
  EXPECT_FALSE(mount_lives(store_, "refused"));
}

TEST_F(MountFixture, SameNameTwiceAndAnotherLayoutAreRefused) {
  auto place = make_place("m"), other = make_place("other");
  auto client = reach();
  ASSERT_TRUE(client->request(mount(place, false), limit()));
  Json same_name = mount(other, false);
  same_name["name"] = "m";
  auto refused = client->request(same_name, limit());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("choose another --name"), std::string::npos);
  Json other_layout = mount(place, false);
  other_layout["pattern"] = "[0-9]+";
  refused = client->request(other_layout, limit());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("another layout"), std::string::npos);
}

}  // namespace hitfs::testing
