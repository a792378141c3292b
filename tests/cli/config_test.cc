#include "cli/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace hitfs {

namespace {

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    sources_.home = (folder_ / "home").string();
    sources_.working_directory = folder_ / "work/deep";
    sources_.system_file = folder_ / "etc.toml";
    std::filesystem::create_directories(folder_ / "home/.config/hitfs");
    std::filesystem::create_directories(sources_.working_directory);
  }
  static void write(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }
  void user(const std::string& text) { write(folder_ / "home/.config/hitfs/config.toml", text); }
  void workspace(const std::string& text) { write(folder_ / "work/.hitfs.toml", text); }
  void flag(const std::string& key, const std::string& value) {
    sources_.flags.push_back({key, {value}, "--" + key, sources_.working_directory});
  }
  Config load() {
    auto config = load_config(sources_);
    if (!config) ADD_FAILURE() << config.error().message;
    return config ? std::move(*config) : Config{};
  }
  std::string refused() {
    auto config = load_config(sources_);
    return config ? "" : config.error().message;
  }
  std::vector<RemoteOptions> remotes(const Config& config) {
    auto resolved = resolve_remotes(config, sources_.environment);
    if (!resolved) ADD_FAILURE() << resolved.error().message;
    return resolved ? std::move(*resolved) : std::vector<RemoteOptions>{};
  }
  static std::string warnings(const Config& config) {
    std::string all;
    for (const auto& warning : config.warnings) all += warning + "\n";
    return all;
  }

  testing::TempDir folder_;
  ConfigSources sources_;
};

}  // namespace

TEST_F(ConfigTest, NothingSaidGivesTheDefaults) {
  auto config = load();
  EXPECT_EQ(config.store.root, folder_ / "home/.cache/hitfs");
  EXPECT_TRUE(config.remotes.empty());
  EXPECT_EQ(config.limits.max_bytes, 20ull << 30);
  EXPECT_EQ(config.idle, Milliseconds(60000));
  EXPECT_FALSE(config.ci);
}

TEST_F(ConfigTest, FlagsBeatEnvironmentBeatsUserBeatsSystemFile) {
  write(sources_.system_file, "max-size = '1GB'\nidle = '1s'\nflush = '1s'\ngeneration = 1\n");
  user("max-size = '2GB'\nidle = '2s'\nflush = '2s'\n");
  sources_.environment["HITFS_MAX_SIZE"] = "3GB";
  sources_.environment["HITFS_IDLE"] = "3s";
  flag("max-size", "4GB");
  auto config = load();
  EXPECT_EQ(config.limits.max_bytes, 4'000'000'000u);
  EXPECT_EQ(config.idle, Milliseconds(3000));
  EXPECT_EQ(config.flush, Milliseconds(2000));
  EXPECT_EQ(config.generation, 1u);
  auto max_size = std::find_if(config.effective.begin(), config.effective.end(),
                               [](const auto& one) { return one.key == "max-size"; });
  EXPECT_EQ(max_size->origin, "--max-size");
}

// Every mistake: file and line (or variable, or flag), key, remedy.
TEST_F(ConfigTest, MistakesNamePlaceKeyAndRemedy) {
  struct Case {
    const char* text;
    std::vector<std::string> said;
  };
  for (const auto& [text, said] : std::vector<Case>{
           {"idle = '1s'\nmax-sise = '1GB'\n", {"config.toml:2", "max-sise", "did you mean max-size?"}},
           {"\n\nidle = 'soon'\n", {"config.toml:3", "idle", "\"soon\"", "10s"}},
           {"idle = 10\n", {"config.toml:1", "idle", "10s"}},
           {"max-size = 'a lot'\n", {"config.toml:1", "max-size", "20GB"}},
           {"mode = 'sometimes'\n", {"config.toml:1", "mode", "read-only"}},
           {"port = 70000\n", {"config.toml:1", "port", "65535"}},
           {"verify-tls = 'perhaps'\n", {"config.toml:1", "verify-tls", "true or false"}},
           {"log-level = 'loud'\n", {"config.toml:1", "log-level", "debug"}},
           {"token = 'secret-word'\n", {"config.toml:1", "token", "token-file"}},
           {"remote = 'https://cache.example.com'\n", {"config.toml:1", "nx+https://cache.example.com"}},
           {"remote = 'ftp://x'\n", {"config.toml:1", "remote", "nx+https://HOST"}},
           {"remote = 'nx+https://'\n", {"config.toml:1", "no host"}},
           {"remote = 'file:share'\n", {"config.toml:1", "file:///absolute/path"}},
           {"remote = 'nx+https://me:secret-word@h'\n", {"config.toml:1", "credentials", "HITFS_TOKEN"}},
           {"[[remote]]\nname = 'x'\n", {"config.toml:2", "url is missing"}},
           {"[[remote]]\nurl = 'nx+https://h'\ntoken-fil = 'x'\n", {"config.toml:3", "did you mean token-file?"}},
           {"[store]\npath = 'x'\n", {"config.toml:1", "store"}},
           {"idle = \n", {"config.toml:1"}},
           {"idle = '1s'\nidle = '2s'\n", {"config.toml:2"}},
           {"idle = '1s'\n[[@x]]\n", {"config.toml:2", "'@'"}}}) {
    user(text);
    auto message = refused();
    EXPECT_FALSE(message.empty()) << text;
    for (const auto& part : said) EXPECT_NE(message.find(part), std::string::npos) << text << " -> " << message;
    EXPECT_EQ(message.find("secret-word"), std::string::npos) << message;
  }
}

TEST_F(ConfigTest, MistakesInVariablesAndFlagsNameThem) {
  sources_.environment["HITFS_MAX_SIZE"] = "big";
  EXPECT_NE(refused().find("environment HITFS_MAX_SIZE: max-size"), std::string::npos) << refused();
  sources_.environment.clear();
  flag("mode", "x");
  EXPECT_NE(refused().find("--mode: mode"), std::string::npos) << refused();
  sources_.flags.clear();
  sources_.only_file = folder_ / "missing.toml";
  EXPECT_NE(refused().find("missing.toml: no such file"), std::string::npos) << refused();
}

TEST_F(ConfigTest, MistakeIsFoundAlsoWhereAnotherSourceWins) {
  user("idle = 'soon'\n");
  flag("idle", "1s");
  EXPECT_NE(refused().find("config.toml:1"), std::string::npos);
}

TEST_F(ConfigTest, ModesOfLocalMachinesAndCi) {
  user("remote = 'nx+https://h'\nmode = 'read-only'\nmode-ci = 'readwrite'\n");
  EXPECT_EQ(remotes(load()).at(0).mode, RemoteMode::read);
  sources_.environment["CI"] = "true";
  EXPECT_EQ(remotes(load()).at(0).mode, RemoteMode::readwrite);
  flag("mode", "no-cache");
  EXPECT_EQ(remotes(load()).at(0).mode, RemoteMode::off) << "a flag beats what the file says for CI";
}

TEST_F(ConfigTest, ModeWithoutARemoteIsAWarning) {
  flag("mode", "read");
  EXPECT_NE(warnings(load()).find("a mode is given, but no remote"), std::string::npos);
}

TEST_F(ConfigTest, ModeOfNxBeatsFilesAndIsBeatenByOurOwn) {
  user("remote = 'nx+https://h'\nmode = 'readwrite'\nmode-ci = 'readwrite'\n");
  for (auto [word, mode] : {std::pair("read-only", RemoteMode::read), std::pair("read", RemoteMode::read),
                            std::pair("read-write", RemoteMode::readwrite), std::pair("no-cache", RemoteMode::off)}) {
    sources_.environment = {{"NX_POWERPACK_CACHE_MODE", word}};
    EXPECT_EQ(remotes(load()).at(0).mode, mode) << word;
    sources_.environment["CI"] = "true";
    EXPECT_EQ(remotes(load()).at(0).mode, mode) << word << " in CI";
    EXPECT_EQ(warnings(load()), "");
  }
  sources_.environment["HITFS_MODE_CI"] = "write";
  EXPECT_EQ(remotes(load()).at(0).mode, RemoteMode::write);
  sources_.environment.erase("HITFS_MODE_CI");
  sources_.environment["HITFS_MODE"] = "read";
  EXPECT_EQ(remotes(load()).at(0).mode, RemoteMode::read);
  flag("mode", "write");
  EXPECT_EQ(remotes(load()).at(0).mode, RemoteMode::write);
}

TEST_F(ConfigTest, ModeOfNxIsNoSignOfAForgottenRemoteAndIsNotQuoted) {
  sources_.environment["NX_POWERPACK_CACHE_MODE"] = "read-only";
  EXPECT_EQ(warnings(load()), "");
  sources_.environment["NX_POWERPACK_CACHE_MODE"] = "hush";
  EXPECT_EQ(refused(), "environment NX_POWERPACK_CACHE_MODE: write read-only, read-write or no-cache");
}

TEST_F(ConfigTest, RefusedUrlsAreShownWithoutTheirSecrets) {
  for (const char* url : {"nx+https://h/?token=hush", "https://h/?token=hush", "nx+https://u:hush@h"}) {
    sources_.environment["HITFS_REMOTE"] = url;
    EXPECT_NE(refused(), "") << url;
    EXPECT_EQ(refused().find("hush"), std::string::npos) << refused();
  }
}

TEST_F(ConfigTest, NxVariablesMakeARemote) {
  sources_.environment = {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", "https://cache.example.com/prefix/"},
                          {"NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN", "t0"},
                          {"NODE_EXTRA_CA_CERTS", "/ca.pem"},
                          {"NODE_TLS_REJECT_UNAUTHORIZED", "0"}};
  auto config = load();
  auto remote = remotes(config).at(0);
  EXPECT_EQ(remote.url, "nx+https://cache.example.com/prefix");
  EXPECT_EQ(remote.name, "cache.example.com");
  EXPECT_EQ(remote.token, "t0");
  EXPECT_EQ(remote.ca_file, "/ca.pem");
  EXPECT_FALSE(remote.verify_tls);
  flag("remote", "file:///share");
  EXPECT_EQ(remotes(load()).at(0).url, "file:///share") << "a flag beats the variable";
}

TEST_F(ConfigTest, OwnEndpointIsNoRemote) {
  sources_.environment = {{"NX_SELF_HOSTED_REMOTE_CACHE_SERVER", "http://127.0.0.1:4711"},
                          {"HITFS_ENDPOINT", "http://127.0.0.1:4711"}};
  EXPECT_TRUE(load().remotes.empty());
}

TEST_F(ConfigTest, TokensComeFromVariableFileAndCommand) {
  write(folder_ / "token", "from-file\n");
  user("[[remote]]\nurl = 'nx+https://a'\ntoken-file = '" + (folder_ / "token").string() +
       "'\n[[remote]]\nurl = 'nx+https://b'\ntoken-command = 'echo from-command'\n[[remote]]\nurl = 'nx+https://c'\n"
       "token-env = 'MINE'\n[[remote]]\nurl = 'nx+https://d'\nname = 'build-cache'\n[[remote]]\nurl = "
       "'file:///share'\n[[remote]]\nurl = 'nx+https://e'\n");
  sources_.environment = {{"MINE", "from-env"}, {"HITFS_TOKEN", "common"}, {"HITFS_TOKEN_BUILD_CACHE", "by-name"}};
  auto config = load();
  std::vector<std::string> tokens;
  for (const auto& remote : remotes(config)) tokens.push_back(remote.token);
  EXPECT_EQ(tokens, (std::vector<std::string>{"from-file", "from-command", "from-env", "by-name", "", "common"}));
  auto secrets = secret_variables(config, sources_.environment);
  for (const char* name : {"MINE", "HITFS_TOKEN", "HITFS_TOKEN_BUILD_CACHE"}) {
    EXPECT_EQ(std::count(secrets.begin(), secrets.end(), name), 1) << name;
  }
}

TEST_F(ConfigTest, FailingCredentialCommandIsNamedWithoutItsOutput) {
  user("remote = 'nx+https://a'\ntoken-command = 'echo secret-word; exit 1'\n");
  auto resolved = resolve_remotes(load(), {});
  ASSERT_FALSE(resolved);
  EXPECT_NE(resolved.error().message.find("token-command"), std::string::npos);
  EXPECT_EQ(resolved.error().message.find("secret-word"), std::string::npos);
}

TEST_F(ConfigTest, WorkspaceIsAnAttacker) {
  user("remote = 'nx+https://ours'\nmode = 'read'\n");
  workspace(
      "store = '/evil'\non-push-failed = 'rm -rf /'\ntoken-command = 'evil'\ntoken-file = '/etc/shadow'\n"
      "ca-file = 'evil.pem'\nverify-tls = false\nallow-insecure-token = true\nscope = 'main'\nmax-size = '1'\n"
      "idle = '1h'\nport = 1\ntoken = 'x'\nremote = 'nx+https://evil'\nmode = 'readwrite'\npattern = '[0-9]+'\n");
  auto config = load();
  EXPECT_EQ(config.store.root, folder_ / "home/.cache/hitfs");
  EXPECT_EQ(config.on_push_failed, "");
  EXPECT_EQ(config.token_command + config.token_file, "");
  EXPECT_EQ(config.limits.max_bytes, 20ull << 30);
  EXPECT_EQ(config.port, 0);
  EXPECT_EQ(config.layout.pattern, "[0-9]+") << "what belongs to the workspace holds";
  auto all = remotes(config);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].url, "nx+https://ours");
  EXPECT_EQ(all[0].mode, RemoteMode::read) << "it can take rights away, not give any";
  EXPECT_TRUE(all[0].verify_tls);
  EXPECT_FALSE(all[0].allow_insecure_token);
  for (const char* key : {"store", "on-push-failed", "token-command", "token-file", "ca-file", "verify-tls",
                          "allow-insecure-token", "scope", "max-size", "idle", "port", "token"}) {
    EXPECT_NE(warnings(config).find(std::string(": ") + key + " is ignored in a workspace file, because"),
              std::string::npos)
        << key;
  }
}

TEST_F(ConfigTest, RemoteOfAWorkspaceNeverGetsAToken) {
  workspace("remote = 'nx+https://theirs'\n");
  EXPECT_EQ(remotes(load()).at(0).token, "");
  sources_.environment["NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN"] = "secret";
  EXPECT_EQ(remotes(load()).at(0).token, "");
  sources_.environment["HITFS_TOKEN"] = "secret";
  auto config = load();
  EXPECT_TRUE(config.remotes.empty());
  EXPECT_NE(warnings(config).find("it would receive your token"), std::string::npos) << warnings(config);
  workspace("remote = 'file:///home/me'\n");
  sources_.environment.clear();
  EXPECT_TRUE(load().remotes.empty());
  workspace("[[remote]]\nurl = 'nx+https://theirs'\ntoken-env = 'AWS_SECRET'\n");
  sources_.environment["AWS_SECRET"] = "secret";
  EXPECT_EQ(remotes(load()).at(0).token, "");
}

TEST_F(ConfigTest, WorkspaceNarrowsTheMode) {
  user("remote = 'nx+https://ours'\n");
  workspace("mode = 'read'\n");
  EXPECT_EQ(remotes(load()).at(0).mode, RemoteMode::read);
}

TEST_F(ConfigTest, ExplicitFlushHoldsInCi) {
  sources_.environment["CI"] = "1";
  EXPECT_EQ(load().flush_limit(), Milliseconds(60000));
  flag("flush", "5s");
  EXPECT_EQ(load().flush_limit(), Milliseconds(5000));
}

TEST_F(ConfigTest, SettingsOfAConfiguredRemoteHoldWhenAFlagNamesIt) {
  user("[[remote]]\nurl = 'nx+https://a'\nname = 'team'\nmode = 'read'\n");
  flag("remote", "nx+https://a");
  auto remote = remotes(load()).at(0);
  EXPECT_EQ(remote.name, "team");
  EXPECT_EQ(remote.mode, RemoteMode::read);
}

}  // namespace hitfs
