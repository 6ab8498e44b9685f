// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <istream>
#include <map>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace inspect {

/// One kernel's instructions, as nvdisasm prints them with `-c`.
class sass_kernel {
 public:
  /// Reads the kernel whose mangled name contains `name`.
  sass_kernel(std::istream& in, std::string_view name) {
    static std::regex const instruction(R"(^\s+/\*[0-9a-f]+\*/\s+([^;]*);?)");
    static std::regex const label(R"(^(\.L_x_\d+):)");
    bool inside = false;
    for (std::string line; std::getline(in, line);) {
      std::smatch found;
      if (line.starts_with(".text.")) {
        inside = line.find(name) != std::string::npos;
      } else if (inside && std::regex_search(line, found, label)) {
        labels_[found[1]] = code_.size();
      } else if (inside && std::regex_search(line, found, instruction)) {
        code_.push_back(found[1]);
      }
    }
    while (!code_.empty() && code_.back().starts_with("NOP")) { code_.pop_back(); }  // padding
  }

  [[nodiscard]] std::size_t size() const noexcept { return code_.size(); }

  /// Instructions on the shortest way that begins at an instruction with the first of `marks`,
  /// passes one with each of the others in their order, and comes back to where it began; none
  /// when there is no such way. With marks that stand on the way of every message it is the way of
  /// a message for which nothing has to wait. A warp issues an instruction whose predicate is false
  /// too; its members are together where a warp-wide instruction needs them; nothing is called.
  [[nodiscard]] std::vector<std::string> shortest_cycle(
      std::vector<std::string> const& marks) const {
    std::vector<std::string> shortest;
    for (std::size_t at = 0; at < code_.size(); ++at) {
      if (!has(at, marks[0])) { continue; }
      std::vector<std::string> way = cycle_from(at, marks);
      if (!way.empty() && (shortest.empty() || way.size() < shortest.size())) {
        shortest = std::move(way);
      }
    }
    return shortest;
  }

 private:
  [[nodiscard]] bool has(std::size_t at, std::string const& mark) const {
    return code_[at].find(mark) != std::string::npos;
  }

  /// Breadth first over the pairs of an instruction and how many marks are behind.
  [[nodiscard]] std::vector<std::string> cycle_from(std::size_t begin,
                                                    std::vector<std::string> const& marks) const {
    constexpr std::size_t unseen = ~std::size_t{0};
    std::vector<std::size_t> before((marks.size() + 1) * code_.size(), unseen);
    auto const state = [&](std::size_t at, std::size_t passed) {
      return passed * code_.size() + at;
    };
    std::size_t const first = state(begin, 1);
    before[first] = first;
    std::deque<std::size_t> next{first};
    while (!next.empty()) {
      std::size_t const here = next.front();
      next.pop_front();
      std::size_t const passed = here / code_.size();
      for (std::size_t const to : after(here % code_.size())) {
        if (to == begin && passed == marks.size()) {
          std::deque<std::string> way;
          for (std::size_t at = here;; at = before[at]) {
            way.push_front(code_[at % code_.size()]);
            if (at == first) { return {way.begin(), way.end()}; }
          }
        }
        bool const mark = passed < marks.size() && has(to, marks[passed]);
        std::size_t const there = state(to, passed + (mark ? 1 : 0));
        if (before[there] != unseen) { continue; }
        before[there] = here;
        next.push_back(there);
      }
    }
    return {};
  }

  /// Where execution may go on from an instruction.
  [[nodiscard]] std::vector<std::size_t> after(std::size_t at) const {
    static std::regex const branch(R"((^|\s)(BRA|BRX|JMP)(\.\w+)*\s)");
    static std::regex const ends(R"((^|\s)(EXIT|RET|CALL)(\.\w+)*(\s|$))");
    static std::regex const target(R"(`\((\.L_x_\d+)\))");
    std::string const& text = code_[at];
    bool const guarded = text.starts_with("@");
    std::vector<std::size_t> out;
    bool falls_through = true;
    if (text.find("BRA.DIV") != std::string::npos) {
      // for members that are apart
    } else if (std::regex_search(text, branch)) {
      std::smatch found;
      if (std::regex_search(text, found, target)) { out.push_back(labels_.at(found[1])); }
      // `BRA P1, ...` and `BRA.U UP0, ...` are conditional without a guard
      static std::regex const condition(R"((BRA|JMP)(\.\w+)*\s+!?U?P\d)");
      falls_through = guarded || std::regex_search(text, condition);
    } else if (std::regex_search(text, ends)) {
      falls_through = guarded;
    }
    if (falls_through && at + 1 < code_.size()) { out.push_back(at + 1); }
    return out;
  }

  std::vector<std::string> code_;
  std::map<std::string, std::size_t> labels_;
};

}  // namespace inspect
