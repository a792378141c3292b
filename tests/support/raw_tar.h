#pragma once

#include <string>
#include <string_view>

// Writes tar headers byte by byte, so that a test can say what no well-behaved writer says.
namespace hitfs::testing {

class RawTar {
 public:
  struct Header {
    std::string name{};
    char type = '0';
    std::string content{};
    std::string link{};
    std::string mode = "0000644";
    std::string size{};  // overrides the content's
    std::string magic = std::string("ustar  \0", 8);
    std::string prefix{};  // of a POSIX header
    bool signed_checksum = false;
    std::string gnu_rest{};  // bytes from 386 on (sparse map of old GNU headers)
  };

  RawTar& add(const Header& header) {
    std::string block(512, '\0');
    auto put = [&](size_t offset, std::string_view text) { block.replace(offset, text.size(), text); };
    put(0, header.name.substr(0, 100));
    put(100, header.mode);
    put(108, "0000000");
    put(116, "0000000");
    put(124, header.size.empty() ? octal(header.content.size(), 11) : header.size);
    put(136, "00000000000");
    put(148, "        ");
    block[156] = header.type;
    put(157, header.link.substr(0, 100));
    put(257, header.magic);
    put(345, header.prefix);
    put(386, header.gnu_rest);
    long sum = 0;
    for (char c : block) sum += header.signed_checksum ? static_cast<signed char>(c) : static_cast<unsigned char>(c);
    put(148, octal(static_cast<size_t>(sum), 6) + std::string("\0 ", 2));
    bytes += block + header.content;
    bytes.append((512 - header.content.size() % 512) % 512, '\0');
    return *this;
  }

  RawTar& file(const std::string& name, const std::string& content) { return add({.name = name, .content = content}); }
  RawTar& directory(const std::string& name) { return add({.name = name, .type = '5', .mode = "0000755"}); }
  RawTar& symlink(const std::string& name, const std::string& target) {
    return add({.name = name, .type = '2', .link = target});
  }
  // A record of a pax header: its length in front of it.
  static std::string pax_record(const std::string& keyword, const std::string& value) {
    std::string rest = " " + keyword + "=" + value + "\n";
    size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) ++length;
    return std::to_string(length) + rest;
  }
  RawTar& pax(const std::string& records) { return add({.name = "PaxHeader/x", .type = 'x', .content = records}); }
  RawTar& code(const std::string& bytes) { return file("code", bytes); }

  // The archive with its end mark, and for nx with the four zero bytes that every artifact needs.
  [[nodiscard]] std::string done() const { return bytes + std::string(1024, '\0'); }
  [[nodiscard]] std::string done_for_nx() const {
    auto whole = *this;
    return whole.code(std::string(4, '\0')).done();
  }

  std::string bytes;

 private:
  static std::string octal(size_t value, size_t digits) {
    std::string text(digits, '0');
    for (size_t i = digits; i > 0; --i, value /= 8) text[i - 1] = static_cast<char>('0' + value % 8);
    return text;
  }
};

}  // namespace hitfs::testing
