#pragma once

#include <memory>
#include <string>

#include "store/base/result.h"
#include "store/base/url.h"
#include "sync/remotes/http_client.h"
#include "sync/remotes/remote.h"

namespace hitfs {

struct NxRemoteOptions {
  Url url;                    // http or https; its path is the prefix
  std::string authorization;  // the header's value, secret; "" for none
  HttpClientOptions http;
};

// A server of the Nx self-hosted cache protocol: GET and PUT {prefix}/v1/cache/{name}. Its own
// namespace is "nx". The protocol has no way to ask whether an entry is there: contains() sends a GET and stops after
// the head. remove() sends a DELETE, which `hitfs serve` understands.
//
// A GET of anything but 200 or 404 is an error, never a miss: a broken cache must not look like a cold one. A 200 whose
// cut would not be noticed (no length, no chunks), and a page (text/html) in place of an artifact, are `corrupt`.
class NxRemote final : public Remote {
 public:
  explicit NxRemote(NxRemoteOptions options);

  Status fetch(const RemoteKey& key, EntryWriter& out, RemoteCall& call) override;
  Result<StoreResult> store(const RemoteKey& key, EntryReader& entry, RemoteCall& call) override;
  Result<bool> contains(const RemoteKey& key, RemoteCall& call) override;
  Status remove(const RemoteKey& key, RemoteCall& call) override;
  [[nodiscard]] std::string_view own_space() const override { return "nx"; }
  [[nodiscard]] std::string describe() const override;

 private:
  [[nodiscard]] Result<HttpQuestion> question(std::string method, const RemoteKey& key) const;

  NxRemoteOptions options_;
  HttpClient client_;
};

}  // namespace hitfs
