// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/book/default_book.hpp"
#include "bench/harness/comparison.hpp"
#include "bench/harness/threads.hpp"
#include "bench/propagate/book_functions.hpp"
#include "examples/revalue/book.hpp"
#include "examples/revalue/risk.hpp"
#include <millrace/core/platform.hpp>
#include <millrace/core/rng.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// \file
/// Transactions on the default book, of whatever keeps it: threads that write beside threads that
/// read. A transaction reads a quote and writes the next one; what depends on it is right when it
/// has committed. Every thousandth of a thread moves the price of the underlying, which touches all
/// of the book, and the others the volatility of an option that is drawn at random. Whoever reads
/// does so at the pace of who writes, so that all do the same work: each thread that reads takes as
/// many snapshots as a thread that writes has committed, on average.

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
  commits,   ///< a second, with the snapshots that go with them
  p99,       ///< ns from the start of a transaction until it has committed
  snapshots  ///< a second: readers of them for writers of commits
};

/// An option's quote, and what it is worth.
struct option_view {
  double volatility;
  measures worth;
};
/// What a reader reads at once.
struct firm_view {
  static constexpr std::size_t watched = 4;

  double spot;
  std::array<option_view, watched> options;
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

/// The options that a reader looks at.
using watch_list = std::array<std::size_t, firm_view::watched>;

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
///       firm_view look(watch_list)       of one moment
template <class Engine>
class commit_trials {
 public:
  static constexpr std::size_t writers = 4, readers = 2, spot_every = 1'000;
  static constexpr auto duration = std::chrono::milliseconds(200);
  /// Of who has read as much as it may. Who wakes takes a processor from who writes.
  static constexpr auto nap = std::chrono::milliseconds(10);

  explicit commit_trials(revalue::book of)
      : book_(std::move(of)), spot_{spot_quotes.nearest(first_spot)}, engine_(book_, spot_) {}

  [[nodiscard]] measured run(commit_figure which) {
    std::vector<writer> write(writers);
    std::vector<reader> read(readers);
    for (writer& each : write) {
      each.seed = ++seed_;
      each.ns.reserve(1 << 20);
    }
    for (reader& each : read) { each.draw = core::splitmix_rng(++seed_); }
    std::latch ready(1 + writers + readers);
    std::atomic<bool> stop{false};
    countdown end_of(writers);
    std::int64_t start = 0;
    {
      std::vector<std::jthread> threads;
      for (writer& each : write) {
        threads.emplace_back([&] {
          work(each, ready, [&] { transact(each, stop); });
          end_of.count_one();
        });
      }
      for (reader& each : read) {
        threads.emplace_back([&] { work(each, ready, [&] { follow(each, write, end_of); }); });
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

  struct alignas(core::destructive_bytes) writer {
    std::uint64_t seed = 0;
    std::vector<std::uint32_t> ns;  // of each transaction
    std::int64_t end = 0;
    std::string problem;
    alignas(core::destructive_bytes) std::atomic<std::uint64_t> commits{0};
  };
  /// Of threads that have something to do yet.
  class countdown {
   public:
    explicit countdown(std::size_t from) noexcept : left_{from} {}
    void count_one() {
      std::lock_guard const lock(mutex_);
      if (--left_ == 0) { none_left_.notify_all(); }
    }
    /// @return whether all have ended
    [[nodiscard]] bool wait_for(std::chrono::nanoseconds time) {
      std::unique_lock lock(mutex_);
      return none_left_.wait_for(lock, time, [&] { return left_ == 0; });
    }

   private:
    std::mutex mutex_;
    std::condition_variable none_left_;
    std::size_t left_;
  };
  /// What a reader has seen of an option.
  struct sight {
    std::size_t contract;
    double spot;
    option_view seen;
  };
  struct reader {
    core::splitmix_rng draw{0};
    std::uint64_t looks = 0, wrong = 0;
    std::vector<sight> kept;  // to be looked at after the trial
    std::int64_t end = 0;
    std::string problem;
  };
  static constexpr std::uint64_t keeps_every = 64;
  static constexpr std::size_t most_kept = 64;

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
    core::splitmix_rng draw(me.seed);
    while (!stop.load(std::memory_order_relaxed)) {
      std::int64_t const start = now_ns();
      if (moves_spot(me.ns.size())) {
        at.move_spot();
      } else {
        at.move_volatility(drawn(draw));
      }
      me.ns.push_back(static_cast<std::uint32_t>(now_ns() - start));
      me.commits.store(me.ns.size(), std::memory_order_relaxed);
    }
  }
  /// Reads until it has done so as often as a writer has committed, and all of them have ended.
  void follow(reader& me, std::vector<writer> const& write, countdown& end_of) {
    client at(engine_);
    for (bool over = false; !over;) {
      over = end_of.wait_for(nap);
      std::uint64_t commits = 0;
      for (writer const& each : write) { commits += each.commits.load(std::memory_order_relaxed); }
      while (me.looks < commits / writers) { look(me, at); }
    }
  }
  void look(reader& me, client& at) {
    watch_list watched;
    for (std::size_t& each : watched) { each = drawn(me.draw); }
    firm_view const seen = at.look(watched);
    me.wrong += seen.belongs_together() ? 0 : 1;
    if (me.looks++ % keeps_every != 0 || me.kept.size() >= most_kept) { return; }
    for (std::size_t i = 0; i < watched.size(); ++i) {
      me.kept.push_back({watched[i], seen.spot, seen.options[i]});
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
    book_functions anew(book_);
    for (reader const& each : read) {
      for (sight const& s : each.kept) {
        anew.write_spot(s.spot);
        anew.write_volatility(s.contract, s.seen.volatility);
        if (anew.option(s.contract) != s.seen.worth) { return "an option has been worth another"; }
      }
    }
    return problem_at_rest(client(engine_));
  }
  [[nodiscard]] std::string problem_at_rest(client at) {
    book_functions anew(book_);
    anew.write_spot(spot_);
    firm_view found{};
    for (std::size_t i = 0; i < book_.contracts.size(); i += firm_view::watched) {
      watch_list these;
      for (std::size_t k = 0; k < these.size(); ++k) {
        these[k] = std::min(i + k, book_.contracts.size() - 1);
      }
      found = at.look(these);
      for (std::size_t k = 0; k < these.size(); ++k) {
        if (found.options[k].volatility != book_.contracts[these[k]].volatility) {
          return "the volatility of option " + std::to_string(these[k]) +
                 " has not been moved as often as transactions say";
        }
        if (found.options[k].worth != anew.option(these[k])) {
          return "what option " + std::to_string(these[k]) + " is worth is wrong";
        }
      }
    }
    if (found.spot != spot_) { return "the spot has not been moved as often as transactions say"; }
    for (std::size_t d = 0; d < found.desks.size(); ++d) {
      if (!(found.desks[d] == anew.desk_risk(d))) { return "the risk of a desk is wrong"; }
    }
    return found.firm == anew.firm_risk() ? "" : "the firm's risk is wrong";
  }
  [[nodiscard]] static double value_of(commit_figure which, std::vector<writer> const& write,
                                       std::vector<reader> const& read, std::int64_t start) {
    std::vector<std::uint32_t> all;
    std::int64_t end = start;
    std::uint64_t looks = 0;
    for (writer const& each : write) {
      all.insert(all.end(), each.ns.begin(), each.ns.end());
      end = std::max(end, each.end);
    }
    for (reader const& each : read) {
      looks += each.looks;
      end = std::max(end, each.end);
    }
    switch (which) {
      case commit_figure::commits:
        return 1e9 * static_cast<double>(all.size()) / static_cast<double>(end - start);
      case commit_figure::snapshots:
        return 1e9 * static_cast<double>(looks) / static_cast<double>(end - start);
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
