#include <utility>

#include "store/base/io.h"
#include "sync/listener/http_server.h"
#include "sync/listener/http_text.h"

namespace hitfs {

namespace {

class Answer final : public HttpTransaction {
 public:
  explicit Answer(HttpReply reply) : reply_(std::move(reply)) {}

  Status body(std::span<const std::byte>) override { return Ok{}; }
  void complete(HttpResponder responder) override { responder.send(std::move(reply_)); }
  bool wants_body() const override { return false; }
  uint64_t drains_at_most() const override { return reply_.close ? uint64_t{1} << 20 : UINT64_MAX; }

 private:
  HttpReply reply_;
};

class JsonBody final : public HttpTransaction {
 public:
  JsonBody(size_t limit, std::function<void(const Json&, HttpResponder)> done)
      : limit_(limit), done_(std::move(done)) {}

  Status body(std::span<const std::byte> bytes) override {
    if (text_.size() + bytes.size() > limit_) {
      too_large_ = true;
      return Error{Code::invalid_argument, "the body is larger than " + std::to_string(limit_) + " bytes"};
    }
    text_ += io::as_text(bytes);
    return Ok{};
  }

  void complete(HttpResponder responder) override {
    if (too_large_) return refuse(responder, "the body is larger than " + std::to_string(limit_) + " bytes");
    if (text_.empty()) return done_(Json(), std::move(responder));
    auto json = Json::parse(text_);
    if (!json) return refuse(responder, "the body: " + json.error().message);
    done_(*json, std::move(responder));
  }

 private:
  static void refuse(HttpResponder& responder, std::string why) {
    responder.send(
        json_reply(400, Json::Object{{"code", to_string(Code::invalid_argument)}, {"error", std::move(why)}}));
  }

  size_t limit_;
  std::function<void(const Json&, HttpResponder)> done_;
  std::string text_;
  bool too_large_ = false;
};

}  // namespace

const std::string* find_header(const HttpHeaders& headers, std::string_view name) {
  for (const auto& [candidate, value] : headers) {
    if (equal_ignoring_case(candidate, name)) return &value;
  }
  return nullptr;
}

HttpReply text_reply(int status, std::string_view text) {
  HttpReply reply;
  reply.status = status;
  reply.headers.emplace_back("Content-Type", "text/plain");
  reply.body = text;
  return reply;
}

HttpReply json_reply(int status, const Json& json) {
  HttpReply reply;
  reply.status = status;
  reply.headers.emplace_back("Content-Type", "application/json");
  reply.body = json.dump();
  return reply;
}

HttpResponder::~HttpResponder() {
  if (send_) send(text_reply(500, "unanswered\n"));
}

void HttpResponder::send(HttpReply reply) {
  if (auto send = std::exchange(send_, nullptr)) send(std::move(reply));
}

std::unique_ptr<HttpTransaction> answer(HttpReply reply) { return std::make_unique<Answer>(std::move(reply)); }

std::unique_ptr<HttpTransaction> with_json_body(size_t limit,
                                                std::function<void(const Json& body, HttpResponder responder)> done) {
  return std::make_unique<JsonBody>(limit, std::move(done));
}

}  // namespace hitfs
