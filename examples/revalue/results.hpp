// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "arguments.hpp"
#include "csv.hpp"
#include "desks.hpp"
#include "feed.hpp"
#include "run.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace revalue {

/// The shortest text that reads back as the same double; "null" for what JSON has no word for.
[[nodiscard]] inline std::string exact(double value) {
  if (!std::isfinite(value)) { return "null"; }
  char text[32];
  auto const end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

/// Text as it stands between the quotes of a JSON string.
[[nodiscard]] inline std::string escaped(std::string_view text) {
  std::string out;
  for (char const c : text) {
    if (c == '"' || c == '\\') { out += '\\'; }
    if (static_cast<unsigned char>(c) >= 0x20) { out += c; }
  }
  return out;
}

/// The file of results: rows of one shape for updates, desks, firm, options and refused quotes. It
/// says nothing of times, workers and backend, so that runs can be compared byte by byte.
class results {
 public:
  /// Opens `path` for writing, before any work.
  results(std::string const& path, format how)
      : path_(path), how_(how), file_(std::fopen(path.c_str(), "wb"), &std::fclose) {
    if (!file_) { problem_ = complaint{path + ": cannot be written: " + std::strerror(errno)}; }
  }

  [[nodiscard]] std::optional<complaint> const& problem() const noexcept { return problem_; }

  /// Writes everything and closes the file.
  void write(feed const& in, book const& of, desks& on, findings const& found) {
    begin();
    for (std::size_t i = 0; i < in.events.size(); ++i) {
      event const& e = in.events[i];
      row("update", std::to_string(i), e.kind == update_kind::quiet ? 0 : e.price,
          kind_of(e, found.outcomes[i]), found.firm[i]);
    }
    for (std::size_t d = 0; d < found.desks.size(); ++d) {
      row("desk", of.desks[d], 0, "", found.desks[d]);
    }
    if (!found.firm.empty()) { row("firm", "firm", 0, "", found.firm.back()); }
    for (std::size_t i = 0; i < of.contracts.size(); ++i) { write_option(of, on, i); }
    for (rejection const& r : in.rejected) { refuse(r.line, r.why); }
    for (std::size_t i = 0; i < in.events.size(); ++i) {
      if (found.outcomes[i] != outcome::applied) { refuse(in.events[i].line, found.outcomes[i]); }
    }
    end();
  }

 private:
  [[nodiscard]] static char const* kind_of(event const& e, outcome what) noexcept {
    if (what != outcome::applied) { return "no effect"; }
    switch (e.kind) {
      case update_kind::quiet: return "unchanged";
      case update_kind::spot: return "spot";
      case update_kind::volatility: return "volatility";
      case update_kind::mid: return "mid";
    }
    return "";
  }

  void write_option(book const& of, desks& on, std::size_t i) {
    place const at = on.places()[i];
    desk_ref const& desk = on.refs()[at.desk];
    option_block const& o = desk.options[at.option / block_width];
    value_block const& v = desk.values[at.option / block_width];
    std::uint32_t const lane = at.option % block_width;
    bool const known = o.volatility[lane] > 0;
    row("option", of.contracts[i].id, o.volatility[lane], known ? "" : "no volatility yet",
        known ? risk{v.value[lane],
                     v.delta[lane],
                     v.gamma[lane],
                     v.vega[lane],
                     v.theta[lane],
                     v.rho[lane],
                     {}}
              : risk{});
  }

  void refuse(std::uint32_t line, outcome why) {
    row("refused", "line " + std::to_string(line), 0, describe(why), risk{});
  }

  void begin() {
    if (how_ == format::csv) { put("record,id,input,note,value,delta,gamma,vega,theta,rho\n"); }
    if (how_ == format::table) {
      line({"record", "id", "input", "note", "value", "delta", "gamma", "vega", "theta", "rho"});
    }
    if (how_ == format::json) { put("[\n"); }
  }

  void row(char const* record, std::string_view id, double input, char const* note, risk const& r) {
    std::array<std::string, 10> const cells{
        record,         std::string(id), exact(input),  note,           exact(r.value),
        exact(r.delta), exact(r.gamma),  exact(r.vega), exact(r.theta), exact(r.rho)};
    if (how_ == format::table) {
      line(cells);
      return;
    }
    if (how_ == format::csv) {
      for (std::size_t i = 0; i < cells.size(); ++i) {
        put(cells[i]);
        put(i + 1 < cells.size() ? "," : "\n");
      }
      return;
    }
    constexpr std::array names{"record", "id",    "input", "note",  "value",
                               "delta",  "gamma", "vega",  "theta", "rho"};
    put(first_ ? "{" : ",\n{");
    first_ = false;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      bool const text = i < 2 || i == 3;
      put(i == 0 ? "\"" : ",\"");
      put(names[i]);
      put(text ? "\":\"" : "\":");
      put(text ? escaped(cells[i]) : cells[i]);
      if (text) { put("\""); }
    }
    put("}");
  }

  void end() {
    if (how_ == format::json) { put("\n]\n"); }
    bool const wrote = std::fflush(file_.get()) == 0 && std::ferror(file_.get()) == 0;
    if (!wrote && !problem_) {
      problem_ = complaint{path_ + ": cannot be written: " + std::strerror(errno)};
    }
    file_.reset();
  }

  void line(std::array<std::string, 10> const& cells) {
    constexpr std::array<std::size_t, 10> widths{8, 24, 22, 12, 24, 24, 24, 24, 24, 24};
    for (std::size_t i = 0; i < cells.size(); ++i) {
      put(cells[i]);
      if (i + 1 < cells.size()) {
        put(std::string(widths[i] > cells[i].size() ? widths[i] - cells[i].size() : 1, ' '));
      }
    }
    put("\n");
  }

  void put(std::string_view text) noexcept {
    static_cast<void>(std::fwrite(text.data(), 1, text.size(), file_.get()));
  }

  std::string path_;
  format how_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::optional<complaint> problem_;
  bool first_ = true;
};

}  // namespace revalue
