// SPDX-License-Identifier: Apache-2.0
// Random graphs and edits, against an engine that demands each observed cell from scratch and looks
// at every dependency: the same values, failures and calls, and the same runs of every function.
#include "tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/propagate/graph.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace propagate = millrace::propagate;
using millrace::errc;
using millrace::error;
using millrace::result;
using word = std::uint32_t;

namespace {

enum class form { input, computed, combined, tracking, observer, tracking_observer };

/// What a node is, for both engines. A tracking one reads its first source; by that value it goes
/// on with the sources of one half or the other, and stops at a value that a modulus divides.
struct recipe {
  form is = form::input;
  std::vector<std::size_t> from;
  word modulus = 7;
  bool fails = false;  // on some results

  [[nodiscard]] result<word> finish(word sum) const {
    if (fails && sum % 11 == 3) {
      return core::fail(errc::bad_argument, static_cast<int>(sum % 5));
    }
    return sum % modulus;
  }
  template <class Read>  // read(k): the value of source k
  [[nodiscard]] result<word> track(Read read) const {
    word const first = read(0);
    word sum = first * 31;
    std::size_t const half = (from.size() + 1) / 2;
    std::size_t const begin = first % 2 == 0 ? 1 : half, end = first % 2 == 0 ? half : from.size();
    for (std::size_t k = begin; k < end; ++k) {
      word const v = read(k);
      sum = sum * 7 + v + read(k);  // twice
      if (v % 5 == 4) { break; }
    }
    return finish(sum);
  }
};

struct outcome {
  word value = 0;
  error failure{};
  bool operator==(outcome const&) const = default;
};

/// Values on demand; versions are numbers of passes.
class oracle {
 public:
  struct node {
    recipe how;
    outcome now;
    std::vector<std::size_t> read;
    std::uint64_t changed = 0, checked = 0, runs = 0;
    bool has_run = false, gone = false, replaced = false;
  };
  std::vector<node> nodes;
  std::uint64_t pass = 0;

  void add(recipe how, word value = 0) {
    node made;
    made.now.value = value;
    made.has_run = how.is == form::input;
    made.how = std::move(how);
    nodes.push_back(std::move(made));
  }
  void write(std::size_t i, word value) {
    if (nodes[i].now.value == value) { return; }
    nodes[i].now.value = value;
    nodes[i].changed = pass;
  }
  outcome const& demand(std::size_t i) {
    node& n = nodes[i];
    if (n.how.is == form::input || (n.has_run && n.checked == pass && !n.replaced)) {
      return n.now;
    }
    bool stale = !n.has_run || n.replaced;
    bool const tracks = n.how.is == form::tracking || n.how.is == form::tracking_observer;
    std::vector<std::size_t> const& from = tracks ? n.read : n.how.from;
    if (!stale || !tracks) {
      for (std::size_t source : from) {
        demand(source);
        stale = stale || nodes[source].changed > n.checked;
        if (tracks && stale) { break; }
      }
    }
    if (stale) { run(n); }
    n.has_run = true;
    n.replaced = false;
    n.checked = pass;
    return n.now;
  }
  void replace(std::size_t i, recipe how) {
    nodes[i].how = std::move(how);
    nodes[i].read.clear();
    nodes[i].replaced = true;
  }
  /// Whether a cell may ever need another, itself included.
  [[nodiscard]] bool reaches(std::size_t from, std::size_t to) const {
    if (from == to) { return true; }
    for (std::size_t source : nodes[from].how.from) {
      if (reaches(source, to)) { return true; }
    }
    return false;
  }

 private:
  struct refused {
    error failure;
  };
  void run(node& n) {
    bool const fixed =
        n.how.is == form::computed || n.how.is == form::combined || n.how.is == form::observer;
    if (fixed) {
      for (std::size_t source : n.how.from) {
        if (nodes[source].now.failure.code == errc::ok) { continue; }
        keep(n, {n.now.value, nodes[source].now.failure});
        return;
      }
    }
    ++n.runs;
    if (n.how.is == form::observer) {
      keep(n, {nodes[n.how.from[0]].now.value, {}});
      return;
    }
    result<word> got{0};
    if (fixed) {
      word sum = 0;
      for (std::size_t source : n.how.from) { sum = sum * 3 + nodes[source].now.value; }
      got = n.how.finish(sum);
    } else {
      n.read.clear();
      try {
        got = n.how.track([&](std::size_t k) {
          n.read.push_back(n.how.from[k]);
          outcome const& source = demand(n.how.from[k]);
          if (source.failure.code != errc::ok) { throw refused{source.failure}; }
          return source.value;
        });
      } catch (refused const& why) { got = cuda::std::unexpected<error>(why.failure); }
    }
    keep(n, got ? outcome{*got, {}} : outcome{n.now.value, got.error()});
  }
  void keep(node& n, outcome next) {
    if (n.has_run && next == n.now) { return; }
    n.now = next;
    n.changed = pass;
  }
};

/// Plans of whatever stands side by side, made after each pass.
struct always_planned : propagate::default_graph {
  static constexpr std::uint32_t plan_width = 1;
  static constexpr std::uint32_t plan_after = 0;
};
/// Plans that are left by what changes, for a while.
struct often_planned : propagate::default_graph {
  static constexpr std::uint32_t plan_width = 1;
  static constexpr std::uint32_t plan_after = 1;
};
/// Plans of chains, in levels of one cell.
struct chained : propagate::default_graph {
  static constexpr std::uint32_t plan_width = 2;
  static constexpr std::uint32_t plan_after = 0;
};
struct often_chained : chained {
  static constexpr std::uint32_t plan_after = 1;
};
/// Plans of wide levels, whose words are run by three threads.
struct shared_out : always_planned {
  static constexpr std::uint32_t task_ns = 0;
};
template <class P>
constexpr bool is_shared = P::task_ns == 0;
template <class P>
constexpr bool is_chained = P::plan_width == chained::plan_width;

/// The same program in a graph.
template <class P>
class program {
 public:
  explicit program(std::uint64_t seed, propagate::team* with = nullptr)
      : chance_{seed}, g_{graph::make().value()} {
    REQUIRE(g_.use(with));
  }

  /// Whether a plan has run cells in any program.
  static inline bool was_planned = false;
  /// Whether that was a chain.
  static inline bool was_chained = false;

  void play(int steps) {
    for (int s = 0; s < 4; ++s) { add_input(); }
    if (is_shared<P>) { add_layers(3, 150); }
    if (is_chained<P>) { add_chain(8); }
    compare();
    for (int s = 0; is_chained<P> && s < 4; ++s) {
      write();
      compare();
      was_chained = was_chained || g_.stats().planned != 0;  // there is nothing else
    }
    for (int s = 0; s < steps; ++s) {
      switch (chance_.next() % 16) {
        case 0: add_input(); break;
        case 1:
          if (is_chained<P>) {
            add_chain(2 + chance_.next() % 7);
            break;
          }
          [[fallthrough]];
        case 2: add_fixed(); break;
        case 3:
        case 4: add_tracking(); break;
        case 5: observe(some_cell()); break;
        case 6: observe_tracking(); break;
        case 7: remove(); break;
        case 8: read_one(); break;
        case 9: replace(); break;
        default: write(); break;
      }
      compare();
      was_planned = was_planned || g_.stats().planned != 0;
    }
  }

 private:
  using graph = propagate::basic_graph<P>;

  struct mine {
    propagate::cell<word> cell;
    propagate::input<word> input;
    propagate::observer observer;
    std::uint64_t runs = 0;
    outcome told;
  };

  [[nodiscard]] std::size_t some_cell() {
    for (;;) {
      std::size_t const i = chance_.next() % want_.nodes.size();
      auto const& n = want_.nodes[i];
      if (!n.gone && n.how.is != form::observer && n.how.is != form::tracking_observer) {
        return i;
      }
    }
  }
  [[nodiscard]] recipe some_recipe(form is, std::size_t most) {
    recipe how;
    how.is = is;
    std::size_t const count = 1 + chance_.next() % most;
    for (std::size_t k = 0; k < count; ++k) { how.from.push_back(some_cell()); }
    how.modulus = static_cast<word>(2 + chance_.next() % 30);
    how.fails = chance_.next() % 6 == 0;
    return how;
  }
  mine& append() {
    mine_.push_back(std::make_unique<mine>());
    return *mine_.back();
  }
  void add_input() {
    word const value = static_cast<word>(chance_.next() % 10);
    recipe how;
    want_.add(how, value);
    mine& m = append();
    m.input = g_.input(value).value();
    m.cell = m.input;
  }
  [[nodiscard]] auto at(recipe const& how, std::size_t k) const { return mine_[how.from[k]]->cell; }
  /// A computed cell's function of one, two or three values, or a tracking one's.
  [[nodiscard]] static auto of_one(recipe how, mine& m) {
    return [how, &m](word a) { return ++m.runs, how.finish(a); };
  }
  [[nodiscard]] static auto of_two(recipe how, mine& m) {
    return [how, &m](word a, word b) { return ++m.runs, how.finish(a * 3 + b); };
  }
  [[nodiscard]] static auto of_three(recipe how, mine& m) {
    return [how, &m](word a, word b, word c) { return ++m.runs, how.finish((a * 3 + b) * 3 + c); };
  }
  [[nodiscard]] auto of_read(recipe how, mine& m) const {
    return [how, this, &m](auto& read) {
      ++m.runs;
      return how.track([&](std::size_t k) { return read(at(how, k)); });
    };
  }
  void add_fixed() {
    recipe const how = some_recipe(chance_.next() % 2 == 0 ? form::computed : form::combined, 3);
    want_.add(how);
    mine& m = append();
    if (how.is == form::combined) {
      std::vector<propagate::cell<word>> from;
      for (std::size_t k = 0; k < how.from.size(); ++k) { from.push_back(at(how, k)); }
      m.cell = g_.combined(
                     [how, &m](propagate::values<word> v) {
                       ++m.runs;
                       word sum = 0;
                       for (std::size_t k = 0; k < v.size(); ++k) { sum = sum * 3 + v[k]; }
                       return how.finish(sum);
                     },
                     cuda::std::span<propagate::cell<word> const>(from.data(), from.size()))
                   .value();
    } else if (how.from.size() == 1) {
      m.cell = g_.computed(of_one(how, m), at(how, 0)).value();
    } else if (how.from.size() == 2) {
      m.cell = g_.computed(of_two(how, m), at(how, 0), at(how, 1)).value();
    } else {
      m.cell = g_.computed(of_three(how, m), at(how, 0), at(how, 1), at(how, 2)).value();
    }
  }
  /// Layers of cells of one type and drawn dependencies, above inputs; all of the last observed.
  void add_layers(std::size_t layers, std::size_t width) {
    for (std::size_t p = 0; p < width; ++p) { add_input(); }
    for (std::size_t l = 0; l < layers; ++l) {
      std::size_t const below = want_.nodes.size() - width;
      for (std::size_t p = 0; p < width; ++p) {
        recipe how = some_recipe(form::computed, 1);
        how.from = {below + chance_.next() % width, below + chance_.next() % width};
        how.fails = chance_.next() % 300 == 0;
        want_.add(how);
        mine& m = append();
        m.cell = g_.computed(of_two(how, m), at(how, 0), at(how, 1)).value();
      }
    }
    std::size_t const last = want_.nodes.size() - width;
    for (std::size_t p = 0; p < width; ++p) { observe(last + p); }
  }
  /// Cells each of the one before, above any; the last observed.
  void add_chain(std::size_t length) {
    std::size_t from = some_cell();
    for (std::size_t k = 0; k < length; ++k) {
      recipe how = some_recipe(form::computed, 1);
      how.from = {from};
      how.modulus += 5;
      how.fails = chance_.next() % 20 == 0;
      from = want_.nodes.size();
      want_.add(how);
      mine& m = append();
      m.cell = g_.computed(of_one(how, m), at(how, 0)).value();
    }
    observe(from);
  }
  void add_tracking() {
    recipe const how = some_recipe(form::tracking, 6);
    want_.add(how);
    mine& m = append();
    m.cell = g_.tracking(of_read(how, m)).value();
  }
  void replace() {
    std::size_t const i = some_cell();
    if (want_.nodes[i].how.is == form::input) { return; }
    recipe const how = some_recipe(chance_.next() % 2 == 0 ? form::computed : form::tracking, 3);
    for (std::size_t source : how.from) {
      if (want_.reaches(source, i)) { return; }
    }
    ++want_.pass;
    want_.replace(i, how);
    mine& m = *mine_[i];
    result<void> done;
    if (how.is == form::tracking) {
      done = g_.replace(m.cell, of_read(how, m));
    } else if (how.from.size() == 1) {
      done = g_.replace(m.cell, of_one(how, m), at(how, 0));
    } else if (how.from.size() == 2) {
      done = g_.replace(m.cell, of_two(how, m), at(how, 0), at(how, 1));
    } else {
      done = g_.replace(m.cell, of_three(how, m), at(how, 0), at(how, 1), at(how, 2));
    }
    REQUIRE(done.has_value());
  }
  void observe(std::size_t cell) {
    recipe how;
    how.is = form::observer;
    how.from = {cell};
    want_.add(how);
    mine& m = append();
    m.observer = g_.observe(mine_[how.from[0]]->cell, [&m](word v) {
                     ++m.runs;
                     m.told.value = v;
                   }).value();
  }
  void observe_tracking() {
    recipe const how = some_recipe(form::tracking_observer, 5);
    want_.add(how);
    mine& m = append();
    m.observer = g_.observe([how, this, &m](auto& read) {
                     ++m.runs;
                     static_cast<void>(
                         how.track([&](std::size_t k) { return read(mine_[how.from[k]]->cell); }));
                   }).value();
  }
  void remove() {
    std::size_t const i = chance_.next() % want_.nodes.size();
    auto& n = want_.nodes[i];
    if (n.gone || i < 4) { return; }  // something is left to write and to read
    // what a tracking cell may still read stays
    for (auto const& other : want_.nodes) {
      bool const uses =
          std::find(other.how.from.begin(), other.how.from.end(), i) != other.how.from.end();
      if (!other.gone && uses) { return; }
    }
    bool const observes = n.how.is == form::observer || n.how.is == form::tracking_observer;
    auto const id = observes ? mine_[i]->observer.id() : mine_[i]->cell.id();
    REQUIRE(g_.remove(id).has_value());
    n.gone = true;
    CHECK(g_.remove(id).error().code == errc::unknown_id);
  }
  void write() {
    ++want_.pass;
    auto batch = g_.begin().value();
    std::size_t const count = 1 + chance_.next() % (is_shared<P> ? 60 : 3);
    for (std::size_t k = 0; k < count; ++k) {
      std::size_t i = some_cell();
      while (want_.nodes[i].how.is != form::input) { i = some_cell(); }
      word const value = static_cast<word>(chance_.next() % 10);
      REQUIRE(batch.write(mine_[i]->input, value));
      staged_.emplace_back(i, value);
    }
    if (chance_.next() % 10 == 0) {
      batch.abort();
    } else {
      for (auto const& [i, value] : last_of_each()) { want_.write(i, value); }
      REQUIRE(batch.commit());
    }
    staged_.clear();
  }
  [[nodiscard]] std::vector<std::pair<std::size_t, word>> last_of_each() const {
    std::vector<std::pair<std::size_t, word>> kept;
    for (std::size_t k = 0; k < staged_.size(); ++k) {
      bool last = true;
      for (std::size_t l = k + 1; l < staged_.size(); ++l) {
        last = last && staged_[l].first != staged_[k].first;
      }
      if (last) { kept.push_back(staged_[k]); }
    }
    return kept;
  }
  void read_one() { same_read(some_cell()); }
  void same_read(std::size_t i) {
    auto const got = g_.read(mine_[i]->cell);
    outcome const& want = want_.demand(i);
    if (want.failure.code != errc::ok) {
      REQUIRE_FALSE(got.has_value());
      REQUIRE(got.error() == want.failure);
    } else {
      REQUIRE(got.has_value());
      REQUIRE(*got == want.value);
    }
  }
  void compare() {
    for (std::size_t i = 0; i < want_.nodes.size(); ++i) {
      form const is = want_.nodes[i].how.is;
      if (!want_.nodes[i].gone && (is == form::observer || is == form::tracking_observer)) {
        want_.demand(i);
      }
    }
    for (std::size_t i = 0; i < want_.nodes.size(); ++i) {
      INFO("node ", i);
      REQUIRE(mine_[i]->runs == want_.nodes[i].runs);
      if (want_.nodes[i].how.is == form::observer && !want_.nodes[i].gone &&
          want_.nodes[i].now.failure.code == errc::ok) {
        REQUIRE(mine_[i]->told.value == want_.nodes[i].now.value);
      }
    }
  }

  core::splitmix_rng chance_;
  graph g_;
  oracle want_;
  std::vector<std::unique_ptr<mine>> mine_;
  std::vector<std::pair<std::size_t, word>> staged_;
};

}  // namespace

TEST_CASE_TEMPLATE(
    "random programs: the values, failures, calls and runs of an engine that looks "
    "at all",
    P, propagate::default_graph, always_planned, often_planned, chained, often_chained,
    shared_out) {
  int const programs = (millrace_test::long_tier() ? 100'000 : 1'000) / (is_shared<P> ? 20 : 1);
  auto team = propagate::team::make(is_shared<P> ? 3 : 1);
  REQUIRE(team);
  for (int seed = 1; seed <= programs; ++seed) {
    INFO("seed ", seed);
    program<P>(static_cast<std::uint64_t>(seed), is_shared<P> ? &*team : nullptr)
        .play(20 + seed % 100);
  }
  CHECK(program<P>::was_planned == (P::plan_width <= chained::plan_width));
  CHECK(program<P>::was_chained == is_chained<P>);
}
