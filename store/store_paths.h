#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace hitfs {

// Where things lie below a store's folder; the same tree stands in store/README.md. A value.
struct StorePaths {
  std::filesystem::path root;

  [[nodiscard]] std::filesystem::path format() const { return root / "format"; }  // "hitfs store 1\n"
  [[nodiscard]] std::filesystem::path index() const { return root / "index.db"; }
  // Exists when a running daemon found index.db damaged: the next one starts a new index.
  [[nodiscard]] std::filesystem::path index_damaged() const { return root / "index-damaged"; }
  [[nodiscard]] std::filesystem::path log() const { return root / "log.db"; }
  [[nodiscard]] std::filesystem::path manifests() const { return root / "manifests"; }
  [[nodiscard]] std::filesystem::path packs() const { return root / "packs"; }
  [[nodiscard]] std::filesystem::path cas() const { return root / "cas"; }
  [[nodiscard]] std::filesystem::path staging() const { return root / "staging"; }
  [[nodiscard]] std::filesystem::path staging(const std::string& front) const { return staging() / front; }
  // What a mount's tool keeps for itself outside of the mount (its databases), by the mount's name.
  [[nodiscard]] std::filesystem::path private_folder(const std::string& mount) const {
    return root / "private" / mount;
  }
  [[nodiscard]] std::filesystem::path high_water() const { return root / "high-water"; }
  // What comes in, until its commit is on disk; the names say where each file belongs (store/leftovers.h).
  [[nodiscard]] std::filesystem::path intakes() const { return root / "intakes"; }
  // Rewritten whenever bytes that were served are found damaged: readers then forget what they have open.
  [[nodiscard]] std::filesystem::path damage() const { return root / "damage"; }
  [[nodiscard]] std::filesystem::path daemon_lock() const { return root / "daemon.lock"; }
  [[nodiscard]] std::filesystem::path daemon_socket() const { return root / "hitfs.sock"; }
  [[nodiscard]] std::filesystem::path supervisor_lock() const { return root / "supervisor.lock"; }
  [[nodiscard]] std::filesystem::path supervisor_socket() const { return root / "supervisor.sock"; }
  // Port and token of the loopback endpoint, 0600.
  [[nodiscard]] std::filesystem::path endpoint() const { return root / "endpoint.json"; }

  // manifests/<id / 4096>/<id>: no folder with a million names.
  [[nodiscard]] std::filesystem::path manifest(uint64_t entry_id) const {
    return manifests() / std::to_string(entry_id / 4096) / std::to_string(entry_id);
  }
  [[nodiscard]] std::filesystem::path pack(uint64_t pack_id) const { return packs() / std::to_string(pack_id); }
  // cas/<aa>/<64 hex>
  [[nodiscard]] std::filesystem::path blob(const std::string& hex) const { return cas() / hex.substr(0, 2) / hex; }
};

}  // namespace hitfs
