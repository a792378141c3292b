#include "store/daemon_client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <future>
#include <list>
#include <thread>
#include <unordered_map>

#include "store/base/guarded.h"
#include "store/base/unique_fd.h"
#include "store/daemon_messages.h"

// One I/O thread drives every call with curl's multi interface. Fetches may be thousands, so at most kMostFetches of
// them are under way and the rest queue up; other calls start at once. A call that blocks waits for the thread to
// finish it.
namespace hitfs {

namespace {

constexpr size_t kMostFetches = 256;
constexpr long kKeptConnections = 64;
constexpr Milliseconds kConnectPatience{2000};
// The daemon ends a wait itself; a daemon that does not is stuck.
constexpr Milliseconds kAnswerMargin{5000};
constexpr size_t kMostAnswer = 64 << 20;

using Done = std::function<void(Result<Json>)>;

// One request and, once it is started, its transfer.
struct Call {
  std::string method;
  std::string target;
  std::string body;
  Deadline until = Deadline::never();
  Done done;
  // Set for a fetch: what it asks for and how long it may wait; the body is made when it starts.
  std::optional<Key> fetched;
  Deadline wait_until = Deadline::never();

  CURL* easy = nullptr;
  std::string url;
  std::string answer;
};

using Calls = std::list<Call>;

Error unavailable(std::string why) { return {Code::unavailable, std::move(why)}; }

size_t collect(char* bytes, size_t one, size_t count, void* into) {
  auto& answer = static_cast<Call*>(into)->answer;
  if (answer.size() + one * count > kMostAnswer) return 0;
  answer.append(bytes, one * count);
  return one * count;
}

Result<Json> json_of(int status, const std::string& body) {
  if (status >= 400) return error_from(status, body);
  auto json = Json::parse(body);
  if (!json) return Error{Code::internal, "the daemon's answer is " + json.error().message};
  return json;
}

// The socket's path as it fits into a socket address: 107 bytes. A longer one is reached through a descriptor of the
// store's folder, reopened when another folder has come to stand there. Used by the I/O thread alone.
class SocketPath {
 public:
  explicit SocketPath(const StorePaths& paths) : paths_(paths) {}

  Result<std::string> get() {
    auto direct = paths_.daemon_socket().string();
    if (direct.size() < sizeof(sockaddr_un::sun_path)) return direct;
    struct stat there {};
    struct stat held {};
    if (::stat(paths_.root.c_str(), &there) < 0) return system_error("store " + paths_.root.string(), errno);
    bool same =
        folder_ && ::fstat(folder_.get(), &held) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev;
    if (!same) folder_.reset(::open(paths_.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder_) return system_error("open " + paths_.root.string(), errno);
    return "/proc/self/fd/" + std::to_string(folder_.get()) + "/" + paths_.daemon_socket().filename().string();
  }

 private:
  StorePaths paths_;
  UniqueFd folder_;
};

class CurlDaemonClient final : public DaemonClient {
 public:
  explicit CurlDaemonClient(const StorePaths& paths);
  ~CurlDaemonClient() override;

  void fetch(const Key& key, Milliseconds wait, std::function<void(FetchReply)> done) override;
  Result<CommitReply> commit(const std::string& front, const std::string& draft, bool durable,
                             const Deadline& until) override;
  Result<StoreReply> store(const std::string& front, const std::string& file, const Key& key,
                           const Deadline& until) override;
  Result<EventBatch> events(const std::string& front, const std::string& epoch, uint64_t after,
                            const Deadline& until) override;
  Status released(const std::string& front, const std::vector<uint64_t>& entry_ids, const Deadline& until) override;
  Status uses(const std::string& front, const std::vector<Use>& uses, const Deadline& until) override;
  Result<Json> call(const std::string& method, const std::string& target, const Json& body,
                    const Deadline& until) override;
  void interrupt() override;

 private:
  void submit(Call call);
  void run();
  void take_new();
  void start_fetches();
  void start(Calls& from, Calls::iterator call);
  Status prepare(Call& call);
  void finish_ended();
  void end_all();
  [[nodiscard]] int pause_ms() const;

  struct State {
    Calls added;
    bool interrupted = false;
    bool ending = false;
  };
  Guarded<State> state_;

  // Of the I/O thread alone.
  SocketPath socket_;
  CURLM* multi_;
  Calls queued_fetches_;
  Calls running_;
  std::unordered_map<CURL*, Calls::iterator> by_easy_;
  size_t running_fetches_ = 0;
  std::vector<CURL*> free_;

  std::thread thread_;
};

CurlDaemonClient::CurlDaemonClient(const StorePaths& paths) : socket_(paths) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(initialised);
  multi_ = curl_multi_init();
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kKeptConnections);
  thread_ = std::thread([this] { run(); });
}

CurlDaemonClient::~CurlDaemonClient() {
  state_.lock()->ending = true;
  curl_multi_wakeup(multi_);
  thread_.join();
  for (auto* easy : free_) curl_easy_cleanup(easy);
  curl_multi_cleanup(multi_);
}

void CurlDaemonClient::interrupt() {
  state_.lock()->interrupted = true;
  curl_multi_wakeup(multi_);
}

void CurlDaemonClient::submit(Call call) {
  state_.lock()->added.push_back(std::move(call));
  curl_multi_wakeup(multi_);
}

void CurlDaemonClient::run() {
  for (;;) {
    take_new();
    {
      auto state = state_.lock();
      if (state->ending && state->added.empty() && running_.empty() && queued_fetches_.empty()) return;
    }
    start_fetches();
    int still_running = 0;
    curl_multi_perform(multi_, &still_running);
    finish_ended();
    curl_multi_poll(multi_, nullptr, 0, pause_ms(), nullptr);
  }
}

void CurlDaemonClient::take_new() {
  Calls added;
  bool over;
  {
    auto state = state_.lock();
    added.swap(state->added);
    over = state->interrupted || state->ending;
  }
  while (!added.empty()) {
    if (added.front().fetched) {
      queued_fetches_.splice(queued_fetches_.end(), added, added.begin());
    } else {
      start(added, added.begin());
    }
  }
  if (over) end_all();
}

// In the order of their arrival; one whose wait is over before its turn is answered without asking.
void CurlDaemonClient::start_fetches() {
  for (auto call = queued_fetches_.begin(); call != queued_fetches_.end();) {
    auto next = std::next(call);
    if (running_fetches_ < kMostFetches) {
      start(queued_fetches_, call);
    } else if (call->wait_until.passed()) {
      auto done = std::move(call->done);
      queued_fetches_.erase(call);
      done(unavailable("too many questions at once"));
    }
    call = next;
  }
}

Status CurlDaemonClient::prepare(Call& call) {
  auto path = socket_.get();
  if (!path) return in_context("no daemon", unavailable(path.error().message));
  if (call.fetched) call.body = fetch_request(*call.fetched, call.wait_until.left()).dump();
  call.url = "http://hitfs" + call.target;
  if (free_.empty()) free_.push_back(curl_easy_init());
  call.easy = free_.back();
  free_.pop_back();
  if (!call.easy) return Error{Code::internal, "curl_easy_init"};
  auto* easy = call.easy;
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, path->c_str());
  curl_easy_setopt(easy, CURLOPT_URL, call.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(kConnectPatience.count()));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<int64_t>(1, call.until.left().count())));
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &collect);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &call);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call.method.c_str());
  if (call.method != "GET") {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call.body.c_str());
  }
  return Ok{};
}

void CurlDaemonClient::start(Calls& from, Calls::iterator call) {
  auto prepared = call->until.passed() ? Status(unavailable("no time left to ask the daemon")) : prepare(*call);
  if (prepared && curl_multi_add_handle(multi_, call->easy) != CURLM_OK) {
    free_.push_back(call->easy);
    prepared = Error{Code::internal, "curl_multi_add_handle"};
  }
  if (!prepared) {
    auto done = std::move(call->done);
    from.erase(call);
    return done(std::move(prepared).error());
  }
  if (call->fetched) ++running_fetches_;
  by_easy_[call->easy] = call;
  running_.splice(running_.end(), from, call);
}

Result<Json> result_of(CURLcode code, CURL* easy, const std::string& answer) {
  if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return json_of(static_cast<int>(status), answer);
  }
  if (code == CURLE_COULDNT_CONNECT) return unavailable("no daemon answers on the store's socket");
  if (code == CURLE_OPERATION_TIMEDOUT) return unavailable("the daemon did not answer in time");
  if (code == CURLE_WRITE_ERROR) return Error{Code::internal, "the daemon's answer is too large"};
  return unavailable(std::string("the daemon went away: ") + curl_easy_strerror(code));
}

void CurlDaemonClient::finish_ended() {
  int left = 0;
  while (auto* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    auto* easy = message->easy_handle;
    auto code = message->data.result;
    auto call = by_easy_.extract(easy).mapped();
    auto result = result_of(code, easy, call->answer);
    curl_multi_remove_handle(multi_, easy);
    free_.push_back(easy);
    if (call->fetched) --running_fetches_;
    auto done = std::move(call->done);
    running_.erase(call);
    done(std::move(result));
  }
}

void CurlDaemonClient::end_all() {
  for (auto& call : running_) {
    curl_multi_remove_handle(multi_, call.easy);
    free_.push_back(call.easy);
  }
  by_easy_.clear();
  running_fetches_ = 0;
  Calls ended;
  ended.splice(ended.end(), running_);
  ended.splice(ended.end(), queued_fetches_);
  for (auto& call : ended) call.done(unavailable("interrupted"));
}

int CurlDaemonClient::pause_ms() const {
  Milliseconds pause{1000};
  for (const auto& call : queued_fetches_) pause = std::min(pause, call.wait_until.left());
  return static_cast<int>(pause.count());
}

void CurlDaemonClient::fetch(const Key& key, Milliseconds wait, std::function<void(FetchReply)> done) {
  Call call;
  call.method = "POST";
  call.target = "/v1/fetch";
  call.fetched = key;
  call.wait_until = Deadline::after(wait);
  call.until = Deadline::after(wait + kAnswerMargin);
  call.done = [done = std::move(done)](Result<Json> json) {
    auto reply = json ? fetch_reply_from(*json) : Result<FetchReply>(std::move(json).error());
    done(reply ? *std::move(reply) : FetchReply{FetchOutcome::unavailable, 0, reply.error().message});
  };
  submit(std::move(call));
}

Result<Json> CurlDaemonClient::call(const std::string& method, const std::string& target, const Json& body,
                                    const Deadline& until) {
  std::promise<Result<Json>> promise;
  auto result = promise.get_future();
  Call call;
  call.method = method;
  call.target = target;
  if (!body.is_null()) call.body = body.dump();
  call.until = until;
  call.done = [&promise](Result<Json> json) { promise.set_value(std::move(json)); };
  submit(std::move(call));
  auto json = result.get();
  if (!json) return in_context("daemon " + method + " " + target.substr(0, target.find('?')), std::move(json).error());
  return json;
}

Result<CommitReply> CurlDaemonClient::commit(const std::string& front, const std::string& draft, bool durable,
                                             const Deadline& until) {
  auto json = call("POST", "/v1/commit", Json::Object{{"front", front}, {"draft", draft}, {"durable", durable}}, until);
  if (!json) return std::move(json).error();
  return commit_reply_from(*json);
}

Result<StoreReply> CurlDaemonClient::store(const std::string& front, const std::string& file, const Key& key,
                                           const Deadline& until) {
  auto json = call("POST", "/v1/store", Json::Object{{"front", front}, {"file", file}, {"key", key.text()}}, until);
  if (!json) return std::move(json).error();
  return store_reply_from(*json);
}

Result<EventBatch> CurlDaemonClient::events(const std::string& front, const std::string& epoch, uint64_t after,
                                            const Deadline& until) {
  auto target = "/v1/events?front=" + percent_encode(front) + "&epoch=" + percent_encode(epoch) +
                "&after=" + std::to_string(after);
  auto json = call("GET", target, Json(), until);
  if (!json) return std::move(json).error();
  return event_batch_from(*json);
}

Status CurlDaemonClient::released(const std::string& front, const std::vector<uint64_t>& entry_ids,
                                  const Deadline& until) {
  auto json = call("POST", "/v1/released", released_request(front, entry_ids), until);
  if (!json) return std::move(json).error();
  return Ok{};
}

Status CurlDaemonClient::uses(const std::string& front, const std::vector<Use>& uses, const Deadline& until) {
  auto json = call("POST", "/v1/uses", uses_request(front, uses), until);
  if (!json) return std::move(json).error();
  return Ok{};
}

}  // namespace

std::unique_ptr<DaemonClient> DaemonClient::open(const StorePaths& paths) {
  return std::make_unique<CurlDaemonClient>(paths);
}

}  // namespace hitfs
