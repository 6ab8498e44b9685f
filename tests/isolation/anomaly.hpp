// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace millrace_test::isolation {

/// What no serial order of the transactions explains. The cycles are those of dependencies: ww, the
/// next version of a list is another's; wr, it read another's version; rw, the version after the
/// one that it read is another's.
/// @source Adya, "Weak Consistency", 1999; Cerone and Gotsman, "Analysing Snapshot Isolation", 2018
enum class anomaly : std::uint8_t {
  g0,                 ///< a cycle of ww
  g1a,                ///< a read of what an aborted transaction has written
  g1b,                ///< a read of what its writer has written over
  g1c,                ///< a cycle of ww and wr
  g_single,           ///< a cycle with one rw
  g_nonadjacent,      ///< a cycle with several rw, no two of which follow each other
  g2_item,            ///< a cycle with rw that follow each other: the only one that snapshots allow
  internal,           ///< a transaction's reads contradict its own reads and appends
  dirty_update,       ///< a committed version upon one of an aborted transaction
  duplicate,          ///< a value twice in a list
  garbage,            ///< a value that nobody has appended
  lost_append,        ///< missing from a list that was read after its commit
  incompatible_order  ///< two lists of one key, neither of which begins with the other
};
inline constexpr std::size_t anomalies = 13;

[[nodiscard]] constexpr char const* describe(anomaly a) noexcept {
  switch (a) {
    case anomaly::g0: return "G0";
    case anomaly::g1a: return "G1a";
    case anomaly::g1b: return "G1b";
    case anomaly::g1c: return "G1c";
    case anomaly::g_single: return "G-single";
    case anomaly::g_nonadjacent: return "G-nonadjacent";
    case anomaly::g2_item: return "G2-item";
    case anomaly::internal: return "internal";
    case anomaly::dirty_update: return "dirty update";
    case anomaly::duplicate: return "duplicate";
    case anomaly::garbage: return "garbage";
    case anomaly::lost_append: return "lost append";
    case anomaly::incompatible_order: return "incompatible order";
  }
  return "unknown anomaly";
}

/// Which orders, beside the dependencies, must agree with the order of transactions.
enum class order : std::uint8_t {
  none,
  process,  ///< that in which each process has made its own
  realtime  ///< and of two transactions of which one had ended when the other began
};

/// What was found; of each kind and order only the first ones in words.
class report {
 public:
  static constexpr std::uint32_t most_texts = 8;

  struct finding {
    anomaly kind;
    order by;
    std::string text;
  };

  /// @param say makes the text, should it be wanted
  template <class Say>
  void add(anomaly kind, order by, Say&& say) {
    std::uint64_t const before = counts_[index(kind)][static_cast<std::size_t>(by)]++;
    if (before >= most_texts) { return; }
    std::string text = describe(kind);
    if (by == order::process) { text += "-process"; }
    if (by == order::realtime) { text += "-realtime"; }
    findings_.push_back({kind, by, text + ": " + std::forward<Say>(say)()});
  }

  [[nodiscard]] std::uint64_t count(anomaly kind, order by) const noexcept {
    return counts_[index(kind)][static_cast<std::size_t>(by)];
  }
  [[nodiscard]] std::uint64_t count(anomaly kind) const noexcept {
    return count(kind, order::none) + count(kind, order::process) + count(kind, order::realtime);
  }
  [[nodiscard]] bool has(anomaly kind) const noexcept { return count(kind) != 0; }
  [[nodiscard]] bool serializable() const noexcept { return findings_.empty(); }
  /// Whether snapshots explain all of it.
  [[nodiscard]] bool snapshot_isolated() const noexcept {
    std::uint64_t others = 0;
    for (std::size_t a = 0; a < anomalies; ++a) {
      auto const kind = static_cast<anomaly>(a);
      others += kind == anomaly::g2_item ? 0 : count(kind);
    }
    return others == 0;
  }
  [[nodiscard]] std::vector<finding> const& findings() const noexcept { return findings_; }
  [[nodiscard]] std::string text() const {
    std::string all;
    for (finding const& f : findings_) { all += f.text + "\n"; }
    return all;
  }

 private:
  [[nodiscard]] static constexpr std::size_t index(anomaly a) noexcept {
    return static_cast<std::size_t>(a);
  }

  std::array<std::array<std::uint64_t, 3>, anomalies> counts_{};
  std::vector<finding> findings_;
};

}  // namespace millrace_test::isolation
