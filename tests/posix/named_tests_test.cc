// A promise in fs/README.md names the test that shows it: each of these tests exists.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

namespace hitfs::testing {

namespace {

const std::filesystem::path kSource = HITFS_SOURCE_DIR;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct KnownTests {
  std::set<std::string> suites, names, full;

  KnownTests() {
    static const std::regex kTest(R"(\nTEST(?:_F|_P)?\((\w+),\s*(\w+)\))");
    for (const auto& file : std::filesystem::recursive_directory_iterator(kSource / "tests")) {
      if (file.path().extension() != ".cc") continue;
      auto text = text_of(file.path());
      for (std::sregex_iterator test(text.begin(), text.end(), kTest), end; test != end; ++test) {
        suites.insert((*test)[1]);
        names.insert((*test)[2]);
        full.insert((*test)[1].str() + "." + (*test)[2].str());
      }
    }
  }

  // "Suite.Name", "Suite.*", "Suite" or "Name"; "..." stands for the rest of a name.
  [[nodiscard]] bool knows(std::string named) const {
    if (named.ends_with(".*")) return suites.contains(named.substr(0, named.size() - 2));
    bool open = named.ends_with("...");
    if (open) named.resize(named.size() - 3);
    const auto& among = named.find('.') == std::string::npos ? names : full;
    auto found = among.lower_bound(named);
    bool there = found != among.end() && (open ? found->starts_with(named) : *found == named);
    return there || (!open && suites.contains(named));
  }
};

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream stream(line.substr(1));
  for (std::string cell; std::getline(stream, cell, '|');) cells.push_back(cell);
  return cells;
}

// What stands in `code` in the last column of the tables that end with "test".
std::vector<std::string> named_tests(const std::string& document) {
  static const std::regex kName(R"(`([A-Z]\w*(?:\.\w+)?(?:\.\.\.|\.\*)?)`)");
  std::vector<std::string> named;
  std::istringstream lines(document);
  bool in_table = false, has_tests = false;
  for (std::string line; std::getline(lines, line);) {
    bool row = line.starts_with("|");
    if (row && !in_table) has_tests = cells_of(line).back() == " test ";
    in_table = row;
    if (!row || !has_tests) continue;
    auto last = cells_of(line).back();
    for (std::sregex_iterator name(last.begin(), last.end(), kName), end; name != end; ++name) {
      named.push_back((*name)[1]);
    }
  }
  return named;
}

}  // namespace

TEST(NamedTestsTest, EachTestThatThePromisesOfAMountNameExists) {
  KnownTests known;
  EXPECT_FALSE(known.knows("NamedTestsTest.SuchATestThereIsNot"));
  EXPECT_FALSE(known.knows("SuchATestThere..."));
  auto named = named_tests(text_of(kSource / "fs" / "README.md"));
  EXPECT_GT(named.size(), 60u);
  for (const auto& name : named) EXPECT_TRUE(known.knows(name)) << "fs/README.md names " << name;
}

}  // namespace hitfs::testing
