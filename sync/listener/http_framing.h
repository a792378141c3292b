#pragma once

#include <string>
#include <string_view>

#include "store/base/result.h"
#include "sync/listener/http_server.h"

namespace hitfs {

// Turns what the HTTP library read into a request, or says why it is refused. libmicrohttpd accepts two
// Content-Lengths, one beside Transfer-Encoding, two Hosts and `Content-Length : 5` (tried with 0.9.75), each a way to
// make us and a proxy before us see different requests; RFC 9112 sections 2.2, 3.2, 5.1 and 6.3. `target` is as sent,
// with the query. Pure; safe from any thread.
Result<HttpRequest> checked_request(std::string_view method, std::string_view version, std::string_view target,
                                    HttpHeaders headers);

}  // namespace hitfs
