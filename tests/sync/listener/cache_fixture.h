#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>

#include "sync/listener/cache_handler.h"
#include "tests/support/fake_store_reader.h"
#include "tests/support/raw_http.h"
#include "tests/support/temp_dir.h"
#include "tests/support/toy_daemon.h"

namespace hitfs::testing {

// A CacheHandler behind a real HTTP server, with the real client of a toy daemon and a store in memory.
class CacheTest : public ::testing::Test {
 protected:
  static constexpr const char* kToken = "s3cret";
  static constexpr const char* kBearer = "Authorization: Bearer s3cret\r\n";

  ~CacheTest() override { end(); }

  void SetUp() override {
    std::ofstream(paths_.format()) << "hitfs store 1\n";
    std::filesystem::create_directory(dir_ / "blobs");
  }

  // Call it once, after what the test needs to set.
  void start() {
    daemon_.start(paths_);
    start_without_daemon();
  }
  void start_without_daemon() {
    client_ = DaemonClient::open(paths_);
    uses_ = std::make_unique<UseReporter>(*client_, "endpoint");
    if (!access_) access_ = std::make_unique<LoopbackAccess>(kToken);
    CacheParts parts{reader_, *client_, uploads_, *uses_, quick_, waiting_, work_, patience_, stop_.get_token()};
    handler_ = std::make_unique<CacheHandler>(parts, rules_, HostCheck::loopback_and({}), *access_);
    server_ = HttpServer::start(socket_.fd.get(), *handler_, {}).value();
  }
  // As the listener ends.
  void end() {
    if (!server_) return;
    stop_.request_stop();
    client_->interrupt();
    EXPECT_TRUE(server_->finish(Milliseconds(20'000)));
    server_.reset();
    work_.wait_none();
  }

  RawReply get(std::string_view target, std::string_view headers = kBearer) {
    return request(socket_.port, "GET", target, headers);
  }
  RawReply put(std::string_view target, std::string_view body, std::string_view headers = kBearer) {
    return request(socket_.port, "PUT", target, headers, body);
  }
  // Files that lie in the listener's staging folder.
  size_t staged() const {
    std::error_code none;
    size_t count = 0;
    for (std::filesystem::directory_iterator file(paths_.staging("endpoint"), none), end; file != end; ++file) ++count;
    return count;
  }

  TempDir dir_;
  StorePaths paths_{dir_.path()};
  ToyDaemon daemon_;
  FakeStoreReader reader_{dir_ / "blobs"};
  UploadFolder uploads_{paths_, "endpoint"};
  Milliseconds patience_{5000};
  CacheRules rules_;
  std::unique_ptr<Access> access_;
  ListeningSocket socket_ = listen_on_loopback();

 private:
  std::stop_source stop_;
  WorkCount work_;
  ThreadPool quick_{4};
  ThreadPool waiting_{32};

 protected:
  std::unique_ptr<DaemonClient> client_;
  std::unique_ptr<UseReporter> uses_;

 private:
  std::unique_ptr<CacheHandler> handler_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace hitfs::testing
