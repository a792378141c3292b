#include "sync/remotes/http_client.h"

#include <curl/curl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <stop_token>

#include "store/base/guarded.h"
#include "sync/remotes/http_head.h"
#include "sync/remotes/transfer_watch.h"

namespace hitfs {

namespace {

// Of a body that nobody wants, this much is read so that the connection can be used again.
constexpr uint64_t kMostDrained = 64 << 10;
constexpr long kBufferBytes = 128 << 10;
// Idle handles kept; each holds its own connections.
constexpr size_t kMostIdleHandles = 40;

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// A transfer and the connections it keeps. The multi handle is there to be woken: an easy handle alone waits up to a
// second before it looks at anything.
struct Handle {
  std::unique_ptr<CURLM, MultiDeleter> multi;
  std::unique_ptr<CURL, EasyDeleter> easy;
  curl_socket_t kept = CURL_SOCKET_BAD;  // of the HTTP/1 connection that the last transfer left open

  // Bytes on a kept connection that nobody asked for (a body longer than its length) would be taken for the next
  // answer; libcurl of this version does not look. At best it is the server's end.
  [[nodiscard]] bool has_unasked_bytes() const {
    pollfd waiting{kept, POLLIN, 0};
    return kept != CURL_SOCKET_BAD && ::poll(&waiting, 1, 0) != 0;
  }
};

// What libcurl's own failure says about the other side.
Trouble trouble_of(CURLcode code, bool was_connecting) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_PROXY: return Trouble::connect;
    default: return was_connecting ? Trouble::connect : Trouble::broken;
  }
}

// One question to one URL, until its answer is complete or given up.
class Exchange {
 public:
  Exchange(const HttpClientOptions& options, const HttpQuestion& question, const Url& url, TransferWatch& watch,
           RemoteCall& call, const HttpClient::OnHead& on_head)
      : options_(options), question_(question), url_(url), watch_(watch), call_(call), on_head_(on_head) {}

  Result<HttpAnswer> run(Handle& handle);
  // After run(): where a redirect leads; "" when the server did not say.
  [[nodiscard]] const std::string& location() const { return location_; }

 private:
  Status prepare();
  void set_trust();
  Status set_body();
  CURLcode drive(CURLM* multi);
  Result<HttpAnswer> conclude(CURLcode code);

  Status open_body();
  Status head_line(std::string_view line);
  Status head_complete();
  Status body(std::span<const std::byte> bytes);
  Result<size_t> fill(std::span<std::byte> into);

  // Keeps the first error for conclude(); libcurl is told to end the transfer.
  bool failed(Status status) {
    if (status) return false;
    if (!error_) error_ = std::move(status).error();
    return true;
  }

  static size_t on_header(char* data, size_t size, size_t count, void* self);
  static size_t on_body(char* data, size_t size, size_t count, void* self);
  static size_t on_fill(char* data, size_t size, size_t count, void* self);
  static int on_seek(void* self, curl_off_t offset, int origin);
  static int on_connected(void* self, char*, char*, int, int);

  const HttpClientOptions& options_;
  const HttpQuestion& question_;
  const Url& url_;
  TransferWatch& watch_;
  RemoteCall& call_;
  const HttpClient::OnHead& on_head_;

  CURL* easy_ = nullptr;
  std::unique_ptr<curl_slist, ListDeleter> headers_;
  std::array<char, CURL_ERROR_SIZE> curl_message_{};
  std::unique_ptr<ByteSource> source_;
  uint64_t source_left_ = 0;

  HttpAnswer answer_;
  HttpHead head_;
  bool head_done_ = false;
  ByteSink* sink_ = nullptr;
  uint64_t body_bytes_ = 0;
  bool enough_ = false;  // the rest of an unwanted body is not read
  std::optional<Error> error_;
  std::string location_;
};

Result<HttpAnswer> Exchange::run(Handle& handle) {
  easy_ = handle.easy.get();
  curl_easy_reset(easy_);
  if (auto prepared = prepare(); !prepared) return std::move(prepared).error();
  curl_multi_add_handle(handle.multi.get(), easy_);
  CURLcode code = CURLE_OK;
  {
    std::stop_callback wake(call_.stop, [&] { curl_multi_wakeup(handle.multi.get()); });
    code = drive(handle.multi.get());
  }
  handle.kept = CURL_SOCKET_BAD;
  long version = 0;
  curl_easy_getinfo(easy_, CURLINFO_HTTP_VERSION, &version);
  if (code == CURLE_OK && version < CURL_HTTP_VERSION_2) curl_easy_getinfo(easy_, CURLINFO_ACTIVESOCKET, &handle.kept);
  char* location = nullptr;
  curl_easy_getinfo(easy_, CURLINFO_REDIRECT_URL, &location);
  if (location) location_ = location;
  // Before the end of a transfer this closes its connection: nothing of it can reach a later question.
  curl_multi_remove_handle(handle.multi.get(), easy_);
  auto result = conclude(code);
  curl_easy_reset(easy_);
  return result;
}

CURLcode Exchange::drive(CURLM* multi) {
  while (true) {
    int running = 0;
    if (curl_multi_perform(multi, &running) != CURLM_OK) return CURLE_FAILED_INIT;
    if (running == 0) break;
    if (error_ || enough_) return CURLE_ABORTED_BY_CALLBACK;
    if (auto late = watch_.give_up()) {
      error_ = std::move(late);
      return CURLE_ABORTED_BY_CALLBACK;
    }
    curl_multi_poll(multi, nullptr, 0, static_cast<int>(watch_.next_check().count()), nullptr);
  }
  int left = 0;
  const CURLMsg* message = curl_multi_info_read(multi, &left);
  return message && message->msg == CURLMSG_DONE ? message->data.result : CURLE_FAILED_INIT;
}

Result<HttpAnswer> Exchange::conclude(CURLcode code) {
  if (error_) return *std::move(error_);
  if (enough_ || code == CURLE_OK) {
    if (head_done_) return answer_;
    code = CURLE_GOT_NOTHING;
  }
  // A server may refuse an upload and close without reading it: its answer counts, not how the sending ended.
  if (head_done_ && answer_.status >= 400 && question_.body) return answer_;
  call_.trouble = trouble_of(code, watch_.is_connecting());
  std::string why = curl_message_[0] ? curl_message_.data() : curl_easy_strerror(code);
  if (code == CURLE_PEER_FAILED_VERIFICATION) {
    why += "; when a private CA signed it, name that CA's file as ca_file or in NODE_EXTRA_CA_CERTS";
  }
  return Error{Code::unavailable, why};
}

Status Exchange::prepare() {
  auto set = [this](CURLoption option, auto value) { curl_easy_setopt(easy_, option, value); };
  set(CURLOPT_URL, url_.text().c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // a name lookup that hangs is left behind, not joined
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_BUFFERSIZE, kBufferBytes);
  set(CURLOPT_ERRORBUFFER, curl_message_.data());
  // Shared out among the addresses of a host, so that one dead address does not use it up alone.
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::max(options_.patience.connect.count(), int64_t{1})));
  // How long a server may take to say "100 Continue" before the body is sent all the same.
  set(CURLOPT_EXPECT_100_TIMEOUT_MS, static_cast<long>(std::min<int64_t>(1'000, options_.patience.stall.count() / 2)));
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_PREREQFUNCTION, &on_connected);
  set(CURLOPT_PREREQDATA, this);
  set_trust();
  return set_body();
}

void Exchange::set_trust() {
  auto set = [this](CURLoption option, auto value) { curl_easy_setopt(easy_, option, value); };
  if (!options_.verify_tls) {
    set(CURLOPT_SSL_VERIFYPEER, 0L);
    set(CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (const auto& roots = options_.root_certificates; !roots.empty()) {
    // Not copied: the options outlive the exchange.
    curl_blob blob{const_cast<char*>(roots.data()), roots.size(), CURL_BLOB_NOCOPY};
    set(CURLOPT_CAINFO_BLOB, &blob);
  }
  if (url_.is_loopback()) {
    // A token that is safe on loopback in clear text would not be on its way to a proxy.
    set(CURLOPT_NOPROXY, "*");
  } else if (url_.scheme == "http" && !options_.http_proxy.empty()) {
    set(CURLOPT_PROXY, options_.http_proxy.c_str());
  }
}

Status Exchange::set_body() {
  auto set = [this](CURLoption option, auto value) { curl_easy_setopt(easy_, option, value); };
  curl_slist* list = nullptr;
  auto add = [&list](const std::string& line) { list = curl_slist_append(list, line.c_str()); };
  add("User-Agent: hitfs");
  if (url_.same_origin(question_.url)) {
    for (const auto& line : question_.headers) add(line);
    if (!question_.authorization.empty()) add("Authorization: " + question_.authorization);
  }
  headers_.reset(list);
  set(CURLOPT_HTTPHEADER, headers_.get());
  if (!question_.body) {
    if (question_.method != "GET") set(CURLOPT_CUSTOMREQUEST, question_.method.c_str());
    return Ok{};
  }
  if (auto opened = open_body(); !opened) return opened;
  set(CURLOPT_UPLOAD, 1L);
  if (question_.method != "PUT") set(CURLOPT_CUSTOMREQUEST, question_.method.c_str());
  set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(source_left_));
  set(CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
  set(CURLOPT_READFUNCTION, &on_fill);
  set(CURLOPT_READDATA, this);
  set(CURLOPT_SEEKFUNCTION, &on_seek);
  set(CURLOPT_SEEKDATA, this);
  return Ok{};
}

Status Exchange::open_body() {
  TransferWatch::Busy busy(watch_);
  auto opened = question_.body();
  if (!opened) return std::move(opened).error();
  auto size = (*opened)->size();
  if (!size) return Error{Code::invalid_argument, "a body of unknown length cannot be uploaded"};
  source_ = *std::move(opened);
  source_left_ = *size;
  return Ok{};
}

Status Exchange::head_line(std::string_view line) {
  if (head_done_) return Ok{};  // trailers after the chunks
  auto whole = head_.line(line);
  if (!whole) return std::move(whole).error();
  return *whole ? head_complete() : Status(Ok{});
}

Status Exchange::head_complete() {
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  if (status < 200) return Ok{};  // 100 Continue and the like: the answer is still to come
  answer_ = head_.answer();
  answer_.status = static_cast<int>(status);
  curl_off_t retry_after = 0;
  curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &retry_after);
  if (retry_after > 0) answer_.retry_after = Milliseconds(std::min<curl_off_t>(retry_after, 86'400) * 1'000);
  head_done_ = true;
  watch_.receiving();
  if (head_.ambiguous_length()) return Error{Code::corrupt, "the answer has no single valid Content-Length"};
  if (is_redirect(answer_.status)) return Ok{};
  if (answer_.length.value_or(0) > options_.max_body) {
    return Error{Code::corrupt, "a body of " + std::to_string(*answer_.length) + " bytes is over the limit"};
  }
  TransferWatch::Busy busy(watch_);
  auto sink = on_head_(answer_);
  if (!sink) return std::move(sink).error();
  sink_ = *sink;
  enough_ = !sink_ && answer_.length.value_or(0) > kMostDrained;
  return Ok{};
}

Status Exchange::body(std::span<const std::byte> bytes) {
  watch_.moved(bytes.size());
  body_bytes_ += bytes.size();
  if (!sink_) {
    enough_ |= body_bytes_ > kMostDrained;
    return Ok{};
  }
  if (body_bytes_ > options_.max_body) {
    return Error{Code::corrupt, "the body is longer than " + std::to_string(options_.max_body) + " bytes"};
  }
  TransferWatch::Busy busy(watch_);
  return sink_->write(bytes);
}

Result<size_t> Exchange::fill(std::span<std::byte> into) {
  if (source_left_ == 0) return size_t{0};
  TransferWatch::Busy busy(watch_);
  auto got = source_->read(into.first(std::min<uint64_t>(into.size(), source_left_)));
  if (!got) return got;
  if (*got == 0) {
    return Error{Code::corrupt, "the body ended " + std::to_string(source_left_) + " bytes before its length"};
  }
  source_left_ -= *got;
  return got;
}

size_t Exchange::on_header(char* data, size_t size, size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  return exchange.failed(exchange.head_line({data, size * count})) || exchange.enough_ ? 0 : size * count;
}

size_t Exchange::on_body(char* data, size_t size, size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  auto bytes = std::as_bytes(std::span(data, size * count));
  return exchange.failed(exchange.body(bytes)) || exchange.enough_ ? 0 : bytes.size();
}

size_t Exchange::on_fill(char* data, size_t size, size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  auto got = exchange.fill(std::as_writable_bytes(std::span(data, size * count)));
  if (!got) {
    exchange.failed(std::move(got).error());
    return CURL_READFUNC_ABORT;
  }
  exchange.watch_.moved(*got);
  if (exchange.source_left_ == 0) exchange.watch_.awaiting();
  return *got;
}

// Called when a kept connection was gone and the question goes out again on a new one.
int Exchange::on_seek(void* self, curl_off_t offset, int origin) {
  auto& exchange = *static_cast<Exchange*>(self);
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  return exchange.failed(exchange.open_body()) ? CURL_SEEKFUNC_FAIL : CURL_SEEKFUNC_OK;
}

int Exchange::on_connected(void* self, char*, char*, int, int) {
  auto& exchange = *static_cast<Exchange*>(self);
  if (exchange.source_left_ > 0) {
    exchange.watch_.sending();
  } else {
    exchange.watch_.awaiting();
  }
  return CURL_PREREQFUNC_OK;
}

}  // namespace

struct HttpClient::Pool {
  Guarded<std::vector<Handle>> idle;

  Handle take() {
    auto handles = idle.lock();
    while (!handles->empty()) {
      // The one used last: its connection is the likeliest to be alive.
      Handle handle = std::move(handles->back());
      handles->pop_back();
      if (!handle.has_unasked_bytes()) return handle;
    }
    return {std::unique_ptr<CURLM, MultiDeleter>(curl_multi_init()),
            std::unique_ptr<CURL, EasyDeleter>(curl_easy_init())};
  }

  void give_back(Handle handle) {
    auto handles = idle.lock();
    if (handles->size() < kMostIdleHandles) handles->push_back(std::move(handle));
  }
};

HttpClient::HttpClient(HttpClientOptions options) : options_(std::move(options)), pool_(std::make_unique<Pool>()) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

HttpClient::~HttpClient() = default;

Result<HttpAnswer> HttpClient::ask(const HttpQuestion& question, const OnHead& on_head, RemoteCall& call) {
  Handle handle = pool_->take();
  if (!handle.easy || !handle.multi) return Error{Code::internal, "libcurl gives no handle"};
  TransferWatch watch(call, options_.patience, question.answer_limit.value_or(options_.patience.first_byte));
  Url url = question.url;
  auto answer = [&]() -> Result<HttpAnswer> {
    if (auto late = watch.give_up()) return *std::move(late);
    for (int hop = 0; hop <= options_.max_redirects; ++hop) {
      Exchange exchange(options_, question, url, watch, call, on_head);
      auto got = exchange.run(handle);
      if (!got || !is_redirect(got->status)) return got;
      auto next = redirect_target(question.method, url, got->status, exchange.location());
      if (!next) return std::move(next).error();
      url = *std::move(next);
      watch.connecting();
    }
    return Error{Code::unavailable, "more than " + std::to_string(options_.max_redirects) + " redirects"};
  }();
  pool_->give_back(std::move(handle));
  if (!answer) return in_context(question.method + " " + redact_url(url.text()), std::move(answer).error());
  return answer;
}

}  // namespace hitfs
