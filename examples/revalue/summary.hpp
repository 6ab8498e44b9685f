// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "arguments.hpp"
#include "results.hpp"
#include <millrace/memory/budget.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace revalue {

/// What a run was about, beside what it found.
struct circumstances {
  std::string book;       ///< where it comes from
  std::string backend;    ///< which, and why
  std::string processor;  ///< the instructions or the device that price
  std::uint32_t workers = 0;
  millrace::memory::budget const* memory = nullptr;  ///< that the state came from; null: untold
};

/// The summary for a person, or as key and value, or as one JSON object.
class summary {
 public:
  summary(feed const& in, book const& of, desks& on, findings const& found,
          circumstances const& how)
      : of_(of), found_(found) {
    std::size_t const events = in.events.size();
    std::string const lines = std::to_string(in.price_lines) + " prices";
    text("underlying", "underlying", in.underlying + ", " + lines);
    if (!in.chain.empty()) {
      text("options", "option quotes",
           in.chain + ", " + std::to_string(in.quote_lines) + " quotes");
    }
    text("book", "book",
         how.book + ": " + std::to_string(of.contracts.size()) + " options in " +
             std::to_string(of.desks.size()) + " desks");
    text("model", "model",
         "Black-Scholes-Merton, rate " + exact(of.rate) + ", dividend yield " + exact(of.dividend) +
             (in.chain.empty() ? "" : "; American options priced as European") +
             "; times to expiry stand still during the run");
    text("backend", "backend", how.backend);
    text("processor", "processor", how.processor);
    figure("workers", "workers", how.workers, "");
    figure("updates", "updates", static_cast<double>(events), "");
    figure("seconds", "time", found.seconds, " s");
    figure("updates_per_s", "throughput", rate_of(static_cast<double>(events)), " updates/s");
    figure("options_per_s", "", rate_of(static_cast<double>(found.recomputed)), " options/s");
    batches(events);
    latency();
    if (how.memory != nullptr) {
      figure("memory_peak_bytes", "memory", static_cast<double>(how.memory->counts().peak_bytes),
             " bytes of state at most");
    }
    figure("recomputed", "recomputed", static_cast<double>(found.recomputed), " option values");
    exactly_once(on);
    if (!in.chain.empty()) { quotes(in); }
  }

  /// Whether every desk did every update once, in order.
  [[nodiscard]] bool whole() const noexcept { return whole_; }

  void print(format how, std::FILE* to) const {
    switch (how) {
      case format::table: return print_table(to);
      case format::csv: return print_csv(to);
      case format::json: return print_json(to);
    }
  }

 private:
  struct item {
    std::string key;
    std::string label;
    std::string value;
    std::string unit;
    bool is_text;
  };

  void text(char const* key, char const* label, std::string value) {
    items_.push_back({key, label, std::move(value), "", true});
  }

  void figure(char const* key, char const* label, double value, char const* unit) {
    char digits[32];
    bool const whole = value >= 1000 || value == static_cast<double>(static_cast<long>(value));
    std::snprintf(digits, sizeof digits, whole ? "%.0f" : "%.3f", value);
    items_.push_back({key, label, digits, unit, false});
  }

  [[nodiscard]] double rate_of(double count) const noexcept {
    return found_.seconds > 0 ? count / found_.seconds : 0;
  }

  void batches(std::size_t events) {
    if (found_.batches == 0) { return; }
    double const updates = static_cast<double>(events);
    figure("batches", "batches", static_cast<double>(found_.batches), "");
    figure("updates_per_batch", "", updates / static_cast<double>(found_.batches),
           " updates a batch");
    figure("bytes_per_update", "", static_cast<double>(found_.batch_bytes) / updates,
           " encoded bytes an update");
  }

  void latency() {
    column<std::uint32_t> sorted = found_.latency_ns;
    std::sort(sorted.begin(), sorted.end());
    auto const at = [&](std::size_t percent) {
      return sorted.empty() ? 0 : 1e-3 * sorted[(sorted.size() - 1) * percent / 100];
    };
    figure("latency_p50_us", "latency p50", at(50), " us");
    figure("latency_p99_us", "latency p99", at(99), " us from submit to result");
  }

  void exactly_once(desks& on) {
    std::uint64_t applied = 0;
    for (desk_state const& desk : on.states()) {
      applied += desk.applied;
      whole_ = whole_ && desk.out_of_order == 0;
    }
    whole_ = whole_ && applied == found_.messages;
    figure("messages", found_.batches == 0 ? "messages" : "changes", static_cast<double>(applied),
           whole_ ? " processed by the desks, each exactly once and in order"
                  : " processed by the desks: NOT each exactly once and in order");
  }

  void quotes(feed const& in) {
    std::array<std::size_t, outcome_count> tally = found_.tally;
    for (rejection const& r : in.rejected) { ++tally[static_cast<std::size_t>(r.why)]; }
    static constexpr std::array keys{
        "quotes_solved",  "quotes_below_bound", "quotes_above_bound",  "quotes_one_sided",
        "quotes_crossed", "quotes_expired",     "quotes_no_underlying"};
    for (std::size_t i = 0; i < tally.size(); ++i) {
      std::string const words = i == 0
                                    ? " solved for a volatility"
                                    : std::string(" refused: ") + describe(static_cast<outcome>(i));
      if (tally[i] == 0 && i != 0) { continue; }
      figure(keys[i], i == 0 ? "quotes" : "", static_cast<double>(tally[i]), words.c_str());
    }
  }

  void print_table(std::FILE* to) const {
    for (item const& i : items_) {
      std::fprintf(to, "%-14s %s%s\n", i.label.c_str(), i.value.c_str(), i.unit.c_str());
    }
    std::fprintf(to, "\n%-20s %15s %13s %11s %14s %14s %14s\n", "desk", "value", "delta", "gamma",
                 "vega", "theta", "rho");
    for (std::size_t d = 0; d < found_.desks.size(); ++d) {
      print_risk(to, of_.desks[d].c_str(), found_.desks[d]);
    }
    if (!found_.firm.empty()) { print_risk(to, "firm", found_.firm.back()); }
  }

  static void print_risk(std::FILE* to, char const* name, risk const& r) {
    std::fprintf(to, "%-20s %15.2f %13.2f %11.3f %14.1f %14.1f %14.1f\n", name, r.value, r.delta,
                 r.gamma, r.vega, r.theta, r.rho);
  }

  void print_csv(std::FILE* to) const {
    std::fputs("key,value\n", to);
    for (item const& i : items_) {
      std::string value = i.value;
      std::replace(value.begin(), value.end(), ',', ';');
      std::fprintf(to, "%s,%s\n", i.key.c_str(), value.c_str());
    }
  }

  void print_json(std::FILE* to) const {
    std::fputs("{", to);
    for (std::size_t n = 0; n < items_.size(); ++n) {
      item const& i = items_[n];
      char const* const quote = i.is_text ? "\"" : "";
      std::fprintf(to, "%s\"%s\":%s%s%s", n == 0 ? "" : ",", i.key.c_str(), quote,
                   i.is_text ? escaped(i.value).c_str() : i.value.c_str(), quote);
    }
    std::fputs("}\n", to);
  }

  book const& of_;
  findings const& found_;
  std::vector<item> items_;
  bool whole_ = true;
};

}  // namespace revalue
