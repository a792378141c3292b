#include "store/layouts/flat.h"

#include "store/key.h"
#include "store/layouts/name_pattern.h"

namespace hitfs {

namespace {

constexpr std::string_view kMarkerPrefix = "marker:";

struct CompletionRule {
  Completion completion = Completion::rename;
  std::string marker;
};

class FlatLayout : public Layout {
 public:
  FlatLayout(NamePattern pattern, std::string space, CompletionRule rule)
      : pattern_(std::move(pattern)), space_(std::move(space)), rule_(std::move(rule)) {}

  [[nodiscard]] std::string_view name() const override { return "flat"; }
  [[nodiscard]] std::string_view space() const override { return space_; }
  [[nodiscard]] Completion completion() const override { return rule_.completion; }
  [[nodiscard]] std::string_view marker() const override { return rule_.marker; }

  [[nodiscard]] Placement place(std::string_view top_level_name) const override {
    std::string name(top_level_name);
    if (!pattern_.matches(name)) return {NameClass::local, "", ""};
    return {NameClass::entry, space_, std::move(name)};
  }

 private:
  NamePattern pattern_;
  std::string space_;
  CompletionRule rule_;
};

Result<CompletionRule> parse_completion(const std::string& text) {
  if (text.empty() || text == "rename") return CompletionRule{};
  if (text == "close") return CompletionRule{Completion::close, ""};
  if (text.starts_with(kMarkerPrefix)) {
    auto marker = text.substr(kMarkerPrefix.size());
    // The rules of a file name are those of a key's name.
    if (Key::make("", "marker", marker)) return CompletionRule{Completion::marker, marker};
  }
  return Error{Code::invalid_argument, "complete \"" + text +
                                           "\" is unknown; it is rename, close or marker:NAME, where NAME is a file "
                                           "name without '/'"};
}

}  // namespace

Result<std::unique_ptr<Layout>> make_flat_layout(const LayoutOptions& options) {
  auto pattern = NamePattern::compile(options.pattern.empty() ? kFlatPattern : options.pattern);
  if (!pattern) return std::move(pattern).error();
  auto rule = parse_completion(options.complete);
  if (!rule) return std::move(rule).error();
  std::string space = options.space.empty() ? kFlatSpace : options.space;
  // Artifacts of namespace nx have another form, and its clients fail on anything else.
  if (space == "nx") {
    return Error{Code::invalid_argument, "namespace nx cannot be used with layout flat; choose another one"};
  }
  if (auto key = Key::make("", space, "x"); !key) return in_context("layout flat", std::move(key).error());
  return std::unique_ptr<Layout>(std::make_unique<FlatLayout>(*std::move(pattern), std::move(space), *std::move(rule)));
}

}  // namespace hitfs
