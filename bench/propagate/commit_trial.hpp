// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/book/default_book.hpp"
#include "bench/harness/comparison.hpp"
#include "bench/harness/threads.hpp"
#include "bench/propagate/book_functions.hpp"
#include "examples/revalue/book.hpp"
#include "examples/revalue/risk.hpp"
#include <millrace/core/rng.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// \file
/// Transactions on the default book, of whatever keeps it: threads that write beside threads that
/// read. A transaction reads a quote and writes the next one; what depends on it is right when it
/// has committed. Every thousandth of a thread moves the price of the underlying, which touches all
/// of the book, and the others the volatility of an option that is drawn at random.

namespace millrace::bench {

/// Quotes that transactions can take: each has a next one, and after the last comes the first. All
/// are exact, so that the last value says how many transactions there were: none is lost, none
/// happened twice.
struct quote_cycle {
  double first;
  double step;
  std::uint64_t places;

  [[nodiscard]] constexpr double at(std::uint64_t place) const noexcept {
    return first + step * static_cast<double>(place % places);
  }
  [[nodiscard]] double nearest(double quote) const noexcept {
    double const last = static_cast<double>(places - 1);
    return at(static_cast<std::uint64_t>(std::clamp(std::round((quote - first) / step), 0., last)));
  }
  [[nodiscard]] constexpr double after(double quote, std::uint64_t moves = 1) const noexcept {
    return at(static_cast<std::uint64_t>((quote - first) / step) + moves);
  }
};
inline constexpr quote_cycle volatility_quotes{0.125, 0x1p-10, 384};
inline constexpr quote_cycle spot_quotes{1430, 0.5, 100};

/// What is to be found out of a trial.
enum class commit_figure {
  commits,   ///< a second
  p99,       ///< ns from the start of a transaction until it has committed
  snapshots  ///< read by readers, a second
};

/// What a reader reads at once.
struct firm_view {
  std::array<revalue::risk, revalue::generated_desks.size()> desks;
  revalue::risk firm;

  /// Whether the firm's risk is the sum of those of its desks, to the bit.
  [[nodiscard]] bool belongs_together() const noexcept {
    constexpr auto count = static_cast<std::uint32_t>(std::tuple_size_v<decltype(desks)>);
    std::array<revalue::risk, revalue::risk_tree::size(count)> nodes;
    std::copy(desks.begin(), desks.end(), nodes.begin());
    revalue::risk_tree const tree{nodes.data(), count};
    tree.rebuild(revalue::solo{});
    return tree.root() == firm;
  }
};

/// The default book, with volatilities that transactions can take.
[[nodiscard]] inline revalue::book quoted_book() {
  revalue::book of = default_book();
  for (revalue::contract& c : of.contracts) {
    c.volatility = volatility_quotes.nearest(c.volatility);
  }
  return of;
}

/// Trials on one engine, which is kept from trial to trial: to build it takes longer than a trial.
///
///     explicit engine(book const&, double spot)
///     engine::client(engine&)            one a thread
///       void move_volatility(contract)   a transaction
///       void move_spot()                 a transaction
///       firm_view look()                 of one moment
///       double volatility(contract), double spot()
template <class Engine>
class commit_trials {
 public:
  static constexpr std::size_t writers = 4, readers = 2, spot_every = 1'000;
  static constexpr auto duration = std::chrono::milliseconds(200);

  explicit commit_trials(revalue::book of)
      : book_(std::move(of)), spot_{spot_quotes.nearest(first_spot)}, engine_(book_, spot_) {}

  [[nodiscard]] measured run(commit_figure which) {
    std::vector<writer> write;
    for (std::size_t i = 0; i < writers; ++i) {
      write.push_back({core::splitmix_rng(++seed_), seed_, {}, 0, {}});
      write.back().ns.reserve(1 << 20);
    }
    std::vector<reader> read(readers);
    std::latch ready(1 + writers + readers);
    std::atomic<bool> stop{false};
    std::int64_t start = 0;
    {
      std::vector<std::jthread> threads;
      for (writer& each : write) {
        threads.emplace_back([&] { work(each, ready, [&] { transact(each, stop); }); });
      }
      for (reader& each : read) {
        threads.emplace_back([&] { work(each, ready, [&] { look(each, stop); }); });
      }
      start = now_ns();
      ready.arrive_and_wait();
      std::this_thread::sleep_for(duration);
      stop = true;
    }
    for (writer const& each : write) { count(each); }
    std::string problem = problem_of(write, read);
    if (!problem.empty()) { return {0, std::move(problem)}; }
    return {value_of(which, write, read, start), {}};
  }

 private:
  using client = typename Engine::client;

  struct writer {
    core::splitmix_rng draw;
    std::uint64_t seed;
    std::vector<std::uint32_t> ns;  // of each transaction
    std::int64_t end;
    std::string problem;
  };
  struct reader {
    std::uint64_t looks = 0, wrong = 0;
    std::int64_t end = 0;
    std::string problem;
  };

  template <class Who, class Body>
  void work(Who& who, std::latch& ready, Body body) {
    ready.arrive_and_wait();
    try {
      body();
    } catch (std::exception const& e) { who.problem = e.what(); }
    who.end = now_ns();
  }
  void transact(writer& me, std::atomic<bool> const& stop) {
    client at(engine_);
    while (!stop.load(std::memory_order_relaxed)) {
      std::int64_t const start = now_ns();
      if (moves_spot(me.ns.size())) {
        at.move_spot();
      } else {
        at.move_volatility(drawn(me.draw));
      }
      me.ns.push_back(static_cast<std::uint32_t>(now_ns() - start));
    }
  }
  void look(reader& me, std::atomic<bool> const& stop) {
    client at(engine_);
    while (!stop.load(std::memory_order_relaxed)) {
      me.wrong += at.look().belongs_together() ? 0 : 1;
      ++me.looks;
    }
  }

  [[nodiscard]] static bool moves_spot(std::size_t transaction) noexcept {
    return transaction % spot_every == spot_every - 1;
  }
  [[nodiscard]] std::size_t drawn(core::splitmix_rng& draw) const noexcept {
    return draw.next() % book_.contracts.size();
  }
  /// Draws once more what a writer has drawn, and moves the quotes of the book.
  void count(writer const& of) {
    core::splitmix_rng draw(of.seed);
    for (std::size_t i = 0; i < of.ns.size(); ++i) {
      double& quote = moves_spot(i) ? spot_ : book_.contracts[drawn(draw)].volatility;
      quote = (moves_spot(i) ? spot_quotes : volatility_quotes).after(quote);
    }
  }
  /// All that the trial was to leave behind, in words where it is something else.
  [[nodiscard]] std::string problem_of(std::vector<writer> const& write,
                                       std::vector<reader> const& read) {
    for (writer const& each : write) {
      if (!each.problem.empty()) { return each.problem; }
    }
    for (reader const& each : read) {
      if (!each.problem.empty()) { return each.problem; }
      if (each.wrong != 0) { return std::to_string(each.wrong) + " looks at what never was"; }
    }
    client at(engine_);
    for (std::size_t i = 0; i < book_.contracts.size(); ++i) {
      if (at.volatility(i) != book_.contracts[i].volatility) {
        return "the volatility of option " + std::to_string(i) +
               " has not been moved as often as "
               "transactions say";
      }
    }
    if (at.spot() != spot_) { return "the spot has not been moved as often as transactions say"; }
    book_functions anew(book_);
    anew.write_spot(spot_);
    firm_view const found = at.look();
    for (std::size_t d = 0; d < found.desks.size(); ++d) {
      if (!(found.desks[d] == anew.desk_risk(d))) { return "the risk of a desk is wrong"; }
    }
    return found.firm == anew.firm_risk() ? "" : "the firm's risk is wrong";
  }
  [[nodiscard]] static double value_of(commit_figure which, std::vector<writer> const& write,
                                       std::vector<reader> const& read, std::int64_t start) {
    std::vector<std::uint32_t> all;
    std::int64_t wrote = start, looked = start;
    std::uint64_t looks = 0;
    for (writer const& each : write) {
      all.insert(all.end(), each.ns.begin(), each.ns.end());
      wrote = std::max(wrote, each.end);
    }
    for (reader const& each : read) {
      looks += each.looks;
      looked = std::max(looked, each.end);
    }
    switch (which) {
      case commit_figure::commits:
        return 1e9 * static_cast<double>(all.size()) / static_cast<double>(wrote - start);
      case commit_figure::snapshots:
        return 1e9 * static_cast<double>(looks) / static_cast<double>(looked - start);
      case commit_figure::p99: break;
    }
    auto const p99 = all.begin() + static_cast<std::ptrdiff_t>(all.size() * 99 / 100);
    std::nth_element(all.begin(), p99, all.end());
    return p99 == all.end() ? 0 : *p99;
  }

  revalue::book book_;  // its volatilities are what the engine's should be
  double spot_;
  std::uint64_t seed_ = 0;
  Engine engine_;
};

/// The trials of an engine, which is built by the first of them.
template <class Engine>
[[nodiscard]] contender committed(std::string name, commit_figure which) {
  auto const kept = std::make_shared<std::unique_ptr<commit_trials<Engine>>>();
  return guarded(std::move(name), [kept, which]() -> measured {
    if (*kept == nullptr) { *kept = std::make_unique<commit_trials<Engine>>(quoted_book()); }
    return (*kept)->run(which);
  });
}

}  // namespace millrace::bench
