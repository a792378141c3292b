#include "tests/support/remote_suite.h"

#include "sync/remotes/remote_factory.h"
#include "tests/support/memory_nx_server.h"
#include "tests/support/temp_dir.h"

namespace hitfs::testing {
namespace {

std::unique_ptr<Remote> must_open(const RemoteOptions& options) {
  auto remote = open_remote(options, Patience{}, RemoteEnvironment{});
  EXPECT_TRUE(remote) << remote.error().message;
  return *std::move(remote);
}

class NxUnderTest final : public RemoteUnderTest {
 public:
  explicit NxUnderTest(bool tls) : tls_(tls) {
    if (tls) write_self_signed_certificate(folder_.path());
    server_ = tls ? std::make_unique<MemoryNxServer>("secret", "/team", folder_ / "cert.pem", folder_ / "key.pem")
                  : std::make_unique<MemoryNxServer>("secret", "/team");
  }
  std::unique_ptr<Remote> open() override {
    RemoteOptions options;
    options.url = server_->url();
    options.token = "secret";
    if (tls_) options.ca_file = folder_ / "cert.pem";
    return must_open(options);
  }
  bool can_remove() const override { return true; }

 private:
  TempDir folder_;
  bool tls_;
  std::unique_ptr<MemoryNxServer> server_;
};

class FileUnderTest final : public RemoteUnderTest {
 public:
  std::unique_ptr<Remote> open() override {
    RemoteOptions options;
    options.url = "file://" + folder_.path().string();
    return must_open(options);
  }
  bool can_remove() const override { return true; }

 private:
  TempDir folder_;
};

INSTANTIATE_TEST_SUITE_P(
    Real, RemoteSuite,
    ::testing::Values(RemoteSuiteParameter{"NxOverHttp", [] { return std::make_unique<NxUnderTest>(false); }},
                      RemoteSuiteParameter{"NxOverTls", [] { return std::make_unique<NxUnderTest>(true); }},
                      RemoteSuiteParameter{"SharedDrive", [] { return std::make_unique<FileUnderTest>(); }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace hitfs::testing
