// SPDX-License-Identifier: Apache-2.0
#include "tier.hpp"
#include <millrace/memory/failing_resource.hpp>
#include <millrace/propagate/store.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace propagate = millrace::propagate;
namespace core = millrace::core;
using millrace::errc;
using millrace::error;
using millrace::result;

namespace {

struct snapshot_isolated : propagate::default_store {
  static constexpr auto level = propagate::isolation::snapshot;
};

/// Two inputs and their sum, all published.
template <class P = propagate::default_store>
struct sums {
  using store_type = propagate::basic_store<P>;

  explicit sums(propagate::store_options const& options = {}) : store(make(options)) {
    REQUIRE(store.publish(a));
    REQUIRE(store.publish(b));
    REQUIRE(store.publish(sum));
  }
  store_type make(propagate::store_options const& options) {
    auto g = propagate::basic_graph<typename P::graph_policy>::make().value();
    a = g.input(1.0).value();
    b = g.input(2.0).value();
    sum = g.computed([this](double x, double y) { return ++runs, x + y; }, a, b).value();
    return store_type::make(std::move(g), options).value();
  }
  void write(double x, double y) {
    auto t = store.begin().value();
    REQUIRE(t.write(a, x));
    REQUIRE(t.write(b, y));
    REQUIRE(t.commit());
  }

  int runs = 0;
  propagate::input<double> a, b;
  propagate::cell<double> sum;
  store_type store;
};

/// Keeps records, or refuses them.
struct kept_records {
  struct kept {
    std::uint64_t epoch;
    std::vector<std::byte> record;
  };
  std::vector<kept>* to = nullptr;
  bool* fails = nullptr;

  [[nodiscard]] result<void> append(std::uint64_t epoch,
                                    cuda::std::span<std::byte const> record) noexcept {
    if (fails != nullptr && *fails) { return core::fail(errc::native_failure, 5); }
    to->push_back({epoch, {record.begin(), record.end()}});
    return {};
  }
};
static_assert(propagate::journal<kept_records>);
struct journaled : propagate::default_store {
  using journal = kept_records;
};

}  // namespace

TEST_CASE("store: a transaction takes effect as a whole, when it commits") {
  sums<> s;
  int const before = s.runs;
  auto t = s.store.begin().value();
  auto const old = s.store.snapshot().value();
  CHECK(t.read(s.sum).value() == 3);
  REQUIRE(t.write(s.a, 10));
  REQUIRE(t.write(s.b, 5));
  REQUIRE(t.write(s.b, 20));
  CHECK(t.read(s.a).value() == 10);  // its own
  CHECK(t.read(s.sum).value() == 3);
  CHECK(s.store.snapshot()->read(s.a).value() == 1);
  auto const epoch = t.commit();
  REQUIRE(epoch);
  CHECK(*epoch == old.epoch() + 1);
  CHECK(s.runs == before + 1);
  CHECK(old.read(s.a).value() == 1);
  CHECK(old.read(s.sum).value() == 3);
  auto const now = s.store.snapshot().value();
  CHECK(now.epoch() == *epoch);
  CHECK(now.read(s.sum).value() == 30);
  CHECK(s.store.stats().commits == 1);
}

TEST_CASE("store: what is aborted has not happened") {
  sums<> s;
  int const before = s.runs;
  auto const epoch = s.store.stats().epoch;
  {
    auto t = s.store.begin().value();
    REQUIRE(t.write(s.a, 10));
    auto u = s.store.begin().value();
    REQUIRE(u.write(s.b, 10));
    u.abort();
    CHECK(u.commit().error().code == errc::closed);
    CHECK(u.write(s.b, 1).error().code == errc::closed);
    CHECK(u.read(s.b).error().code == errc::closed);
    u.abort();
  }
  CHECK(s.runs == before);
  CHECK(s.store.stats().epoch == epoch);
  CHECK(s.store.snapshot()->read(s.sum).value() == 3);
}

TEST_CASE("store: what has been read must still be so; the conflict says which cell") {
  sums<> s;
  auto t = s.store.begin().value();
  auto u = s.store.begin().value();
  REQUIRE(t.write(s.a, t.read(s.a).value() + 1));
  REQUIRE(u.write(s.a, u.read(s.a).value() + 1));
  REQUIRE(t.commit());
  auto const second = u.commit();
  REQUIRE_FALSE(second);
  CHECK(second.error().code == errc::conflict);
  CHECK(u.conflict() == s.a.id());
  CHECK(s.store.snapshot()->read(s.a).value() == 2);
  CHECK(s.store.stats().conflicts == 1);
}

TEST_CASE(
    "store: a computed cell is a read like any other, and one that comes out the same is none") {
  sums<> s;
  auto t = s.store.begin().value();
  auto u = s.store.begin().value();
  CHECK(t.read(s.sum).value() == 3);
  CHECK(u.read(s.sum).value() == 3);
  s.write(2, 1);  // the sum is the same
  REQUIRE(t.write(s.a, 7));
  CHECK(t.commit());
  REQUIRE(u.write(s.b, 7));
  CHECK(u.commit().error().code == errc::conflict);
  CHECK(u.conflict() == s.sum.id());
}

TEST_CASE("store: blind writes do not conflict, and who writes nothing never does") {
  sums<> s;
  auto t = s.store.begin().value();
  auto u = s.store.begin().value();
  auto v = s.store.begin().value();
  REQUIRE(t.write(s.a, 4));
  REQUIRE(u.write(s.a, 5));
  CHECK(v.read(s.a).value() == 1);
  CHECK(t.commit());
  CHECK(u.commit());
  CHECK(v.read(s.a).value() == 1);
  CHECK(v.commit().value() == v.epoch());
  CHECK(s.store.snapshot()->read(s.sum).value() == 7);
}

TEST_CASE("store: snapshot isolation looks at what was written, and lets a skew through") {
  sums<snapshot_isolated> s;
  auto t = s.store.begin().value();
  auto u = s.store.begin().value();
  auto v = s.store.begin().value();
  CHECK(t.read(s.b).value() + u.read(s.a).value() == 3);
  REQUIRE(t.write(s.a, 0));
  REQUIRE(u.write(s.b, 0));
  REQUIRE(v.write(s.a, 9));
  CHECK(t.commit());
  CHECK(u.commit());
  CHECK(v.commit().error().code == errc::conflict);
  CHECK(v.conflict() == s.a.id());
}

TEST_CASE("store: a write of the same bits makes no version") {
  sums<> s;
  auto const before = s.store.stats();
  int const runs = s.runs;
  s.write(1, 2);
  auto const after = s.store.stats();
  CHECK(after.epoch == before.epoch + 1);
  CHECK(after.versions == before.versions);
  CHECK(s.runs == runs);
}

TEST_CASE("store: failures are versions like values") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(4).value();
  auto const inverse = g.computed(
                            [](int x) -> result<int> {
                              if (x == 0) { return core::fail(errc::bad_argument, 9); }
                              return 100 / x;
                            },
                            a)
                           .value();
  auto const thrown =
      g.computed([](int x) { return x < 0 ? throw std::runtime_error("no") : x; }, a);
  auto s = propagate::store::make(std::move(g)).value();
  REQUIRE(s.publish(a));
  REQUIRE(s.publish(inverse));
  REQUIRE(s.publish(*thrown));
  auto const set = [&](int x) {
    CHECK(s.transact([&](auto& t) { return t.write(a, x); }));
    return s.snapshot().value();
  };
  auto const zero = set(0);
  auto const five = set(5);
  auto const below = set(-5);
  CHECK(zero.read(inverse).error() == error{errc::bad_argument, {}, 9});
  CHECK(five.read(inverse).value() == 20);
  CHECK(five.read(*thrown).value() == 5);
  CHECK(below.read(*thrown).error().code == errc::function_failed);
  CHECK(zero.read(a).value() == 0);
}

TEST_CASE("store: kept epochs can be read again, and no older ones") {
  sums<> s({.kept_epochs = 10});
  auto const first = s.store.stats().epoch;
  for (int i = 1; i <= 200; ++i) { s.write(i, 2); }
  auto const last = s.store.stats().epoch;
  CHECK(last == first + 200);
  for (std::uint64_t back = 0; back <= 10; ++back) {
    auto const then = s.store.at(last - back);
    REQUIRE(then);
    CHECK(then->read(s.sum).value() == 202 - static_cast<double>(back));
  }
  REQUIRE(s.store.collect());
  CHECK(s.store.at(last - 11).error().code == errc::released);
  CHECK(s.store.at(0).error().code == errc::released);
  CHECK(s.store.at(last + 1).error().code == errc::bad_argument);
  CHECK(s.store.stats().oldest_kept == last - 10);
  CHECK(s.store.stats().versions <= 3 + 2 * 10);
}

TEST_CASE("store: a pinned epoch holds its versions, which are counted and bounded") {
  sums<> s({.version_bytes = 8192});
  auto pinned = s.store.snapshot().value();
  auto const at = pinned.epoch();
  int committed = 0;
  error why{};
  for (int i = 0; i < 1000 && why.code == errc::ok; ++i) {
    auto t = s.store.begin().value();
    REQUIRE(t.write(s.a, i + 100.0));
    if (auto const done = t.commit(); done) {
      ++committed;
    } else {
      why = done.error();
    }
  }
  CHECK(why.code == errc::full);
  CHECK(committed > 20);
  CHECK(s.store.stats().oldest_pinned == at);
  CHECK(s.store.stats().version_bytes > 8192);
  CHECK(pinned.read(s.sum).value() == 3);
  CHECK(s.store.snapshot()->read(s.a).value() == committed + 99.0);
  CHECK(s.store.edit([](auto&) {}).error().code == errc::full);
  pinned.release();
  CHECK(pinned.read(s.sum).error().code == errc::released);
  s.write(1, 2);
  CHECK(s.store.stats().version_bytes < 1000);
  s.write(2, 3);
  auto const now = s.store.stats();
  std::uint64_t const each = now.version_bytes / now.versions, spares = now.spare_bytes / each;
  CHECK(now.spare_bytes % each == 0);
  CHECK(spares >= 3);
  CHECK(spares <= 2 * 3 + 128);
}

TEST_CASE("store: what was published can be taken back, and given again") {
  sums<> s;
  auto const old = s.store.snapshot().value();
  auto t = s.store.begin().value();
  REQUIRE(t.write(s.a, 5));
  REQUIRE(s.store.unpublish(s.a));
  CHECK(s.store.unpublish(s.a).error().code == errc::unknown_id);
  CHECK(t.commit().error().code == errc::conflict);
  CHECK(t.conflict() == s.a.id());
  auto const without = s.store.snapshot().value();
  CHECK(without.read(s.a).error().code == errc::unknown_id);
  CHECK(without.read(s.sum).value() == 3);
  CHECK(old.read(s.a).value() == 1);
  REQUIRE(s.store.publish(s.a));
  CHECK(s.store.publish(s.a).error().code == errc::duplicate);
  s.write(6, 7);
  CHECK(old.read(s.a).value() == 1);
  CHECK(without.read(s.a).error().code == errc::unknown_id);
  CHECK(s.store.snapshot()->read(s.a).value() == 6);
}

TEST_CASE("store: cells come, are replaced and go while it is in use") {
  sums<> s({.kept_epochs = 5});
  for (int round = 0; round < 300; ++round) {
    auto const product = s.store.edit(
        [&](auto& g) { return g.computed([](double x, double y) { return x * y; }, s.a, s.b); });
    REQUIRE(product);
    REQUIRE(s.store.publish(*product));
    s.write(round, 3);
    auto const now = s.store.snapshot().value();
    CHECK(now.read(*product).value() == 3 * round);
    REQUIRE(s.store.edit(
        [&](auto& g) { return g.replace(*product, [](double x) { return -x; }, s.a); }));
    CHECK(now.read(*product).value() == 3 * round);
    CHECK(s.store.snapshot()->read(*product).value() == -round);
    auto const busy = s.store.edit([&](auto& g) { return g.remove(product->id()); });
    CHECK(busy.error().code == errc::busy);
    REQUIRE(s.store.unpublish(*product));
    REQUIRE(s.store.edit([&](auto& g) { return g.remove(product->id()); }));
    CHECK(s.store.snapshot()->read(*product).error().code == errc::unknown_id);
  }
  CHECK(s.store.edit([](auto& g) { return g.stats().nodes; }).value() == 6);
  for (int i = 0; i < 100; ++i) { s.write(i, 3); }
  REQUIRE(s.store.collect());
  CHECK(s.store.stats().versions < 20);
}

TEST_CASE("store: a graph that is shared is not written past its transactions") {
  sums<> s;
  CHECK(s.store.edit([&](auto& g) { return g.write(s.a, 5); }).error().code == errc::busy);
  CHECK(s.store
            .edit([&](auto& g) -> result<void> {
              auto b = g.begin();
              if (!b) { return core::fail(b.error().code); }
              return {};
            })
            .error()
            .code == errc::busy);
  CHECK(s.store.edit([](auto&) -> int { throw std::runtime_error("no"); }).error().code ==
        errc::function_failed);
  // nor from within the lane
  auto const inner = s.store.edit([&](auto&) { return s.store.collect(); });
  CHECK(inner.error().code == errc::busy);
  CHECK(s.store
            .edit([&](auto&) -> result<std::uint64_t> {
              return s.store.transact([&](auto& t) { return t.write(s.a, 4); });
            })
            .error()
            .code == errc::busy);
  CHECK(s.store.snapshot()->read(s.sum).value() == 3);
}

namespace {

/// Levels whose words are tasks of a team.
struct shared_out : propagate::default_graph {
  static constexpr std::uint32_t plan_width = 64;
  static constexpr std::uint32_t plan_after = 0;
  static constexpr std::uint32_t task_ns = 0;
};
struct shared_out_store : propagate::default_store {
  using graph_policy = shared_out;
};

}  // namespace

TEST_CASE("store: functions that a team runs are in the lane as well") {
  static constexpr int width = 512;
  auto team = propagate::team::make(3).value();
  auto g = propagate::basic_graph<shared_out>::make().value();
  REQUIRE(g.use(&team));
  auto const in = g.input(0).value();
  std::function<void()> inner = [] {};
  std::vector<propagate::cell<int>> cells;
  for (int i = 0; i < width; ++i) {
    cells.push_back(g.computed([&inner, i](int x) { return inner(), x + i; }, in).value());
  }
  REQUIRE(g.keep(cuda::std::span<propagate::cell<int> const>(cells.data(), cells.size())));
  REQUIRE(g.write(in, 1));
  REQUIRE(g.write(in, 2));
  REQUIRE(g.stats().planned == width);
  auto store = propagate::basic_store<shared_out_store>::make(std::move(g)).value();
  REQUIRE(store.publish(in));
  std::atomic<int> refused{0};
  inner = [&] {
    auto const made = store.transact([&](auto& t) { return t.write(in, -1); });
    refused += !made && made.error().code == errc::busy ? 1 : 0;
  };
  REQUIRE(store.transact([&](auto& t) { return t.write(in, 3); }));
  CHECK(refused == width);
}

TEST_CASE("store: functions of two stores that call each other are refused, and wait for nobody") {
  auto const make = [](std::function<void()>& inner, propagate::input<int>& in) {
    auto g = propagate::graph::make().value();
    in = g.input(0).value();
    auto const calls = g.computed([&inner](int x) { return inner(), x; }, in).value();
    auto s = propagate::store::make(std::move(g)).value();
    REQUIRE(s.publish(in));
    REQUIRE(s.publish(calls));
    return s;
  };
  std::function<void()> from_left = [] {}, from_right = [] {};
  propagate::input<int> left_in, right_in;
  auto left = make(from_left, left_in), right = make(from_right, right_in);
  std::atomic<int> accepted{0};
  auto const write = [](auto& store, auto in, int x) {
    return store.transact([&](auto& t) { return t.write(in, x); });
  };
  from_left = [&] {
    auto const made = write(right, right_in, -1);
    accepted += made || made.error().code != errc::busy ? 1 : 0;
    accepted += right.snapshot()->read(right_in) ? 0 : 1;  // who only reads waits for nobody
  };
  from_right = [&] {
    auto const made = write(left, left_in, -1);
    accepted += made || made.error().code != errc::busy ? 1 : 0;
  };
  std::atomic<int> failed{0};
  auto const keep_writing = [&](auto& store, auto in) {
    for (int x = 1; x < 1000; ++x) { failed += write(store, in, x) ? 0 : 1; }
  };
  std::thread other([&] { keep_writing(right, right_in); });
  keep_writing(left, left_in);
  other.join();
  CHECK(accepted == 0);
  CHECK(failed == 0);
}

TEST_CASE("store: unknown cells are refused") {
  sums<> s;
  auto other = propagate::graph::make().value();
  auto const theirs = other.input(1.0).value();
  auto const hidden = s.store.edit([](auto& g) { return g.input(1.0); }).value();
  auto t = s.store.begin().value();
  CHECK(t.read(theirs).error().code == errc::unknown_id);
  CHECK(t.write(theirs, 2).error().code == errc::unknown_id);
  CHECK(t.read(hidden).error().code == errc::unknown_id);
  CHECK(t.write(hidden, 2).error().code == errc::unknown_id);
  CHECK(t.write(propagate::input<double>(s.sum.id()), 2).error().code == errc::unknown_id);
  CHECK(t.read(propagate::cell<int>(s.a.id())).error().code == errc::unknown_id);
  CHECK(t.read(propagate::cell<double>()).error().code == errc::unknown_id);
  CHECK(s.store.publish(theirs).error().code == errc::unknown_id);
  CHECK(t.commit().value() == t.epoch());
  auto g = propagate::graph::make().value();
  auto open = g.begin().value();
  CHECK(propagate::store::make(std::move(g)).error() == error{errc::bad_argument, {}, 1});
  open.abort();
  CHECK(propagate::store::make(std::move(g), {.most_pins = 0}).error() ==
        error{errc::bad_argument, {}, 2});
  auto small = propagate::store::make(std::move(g), {.most_pins = 2}).value();
  {
    auto const one = small.begin();
    auto const two = small.snapshot();
    CHECK(one);
    CHECK(two);
    CHECK(small.begin().error().code == errc::full);
    CHECK(small.snapshot().error().code == errc::full);
    CHECK(small.at(0).error().code == errc::full);
  }
  CHECK(small.begin());
}

TEST_CASE("store: many cells in one transaction") {
  auto g = propagate::graph::make().value();
  std::vector<propagate::input<int>> inputs;
  std::vector<propagate::cell<int>> all;
  for (int i = 0; i < 3000; ++i) {
    inputs.push_back(g.input(0).value());
    all.push_back(inputs.back());
  }
  auto const sum = g.combined(
                        [](propagate::values<int> v) {
                          int s = 0;
                          for (std::size_t i = 0; i < v.size(); ++i) { s += v[i]; }
                          return s;
                        },
                        cuda::std::span<propagate::cell<int> const>(all.data(), all.size()))
                       .value();
  auto s = propagate::store::make(std::move(g)).value();
  for (auto const& each : all) { REQUIRE(s.publish(each)); }
  REQUIRE(s.publish(sum));
  auto t = s.begin().value();
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      auto const at = inputs[(i * 7919) % inputs.size()];
      REQUIRE(t.write(at, t.read(at).value() + 1));
    }
  }
  REQUIRE(t.commit());
  CHECK(s.snapshot()->read(sum).value() == 9000);
}

TEST_CASE("store: the journal has what was written, by name, before it can be read") {
  std::vector<kept_records::kept> kept;
  bool fails = false;
  struct point {
    float x, y;
  };
  struct book {
    propagate::basic_store<journaled> store;
    propagate::input<double> price;
    propagate::input<bool> open;
    propagate::input<std::int32_t> count;
    propagate::input<double> rate;
    propagate::input<point> where;
    propagate::cell<double> value;
  };
  auto const make = [&] {
    auto g = propagate::graph::make().value();
    auto const price = g.input(1.0).value();
    auto const open = g.input(false).value();
    auto const count = g.input(std::int32_t{1}).value();
    auto const rate = g.input(0.5).value();
    auto const where = g.input(point{1, 2}, propagate::never_same{}).value();
    auto const value = g.computed([](double p, std::int32_t n) { return p * n; }, price, count);
    REQUIRE(g.set_name(price, 70));
    REQUIRE(g.set_name(open, 60));
    REQUIRE(g.set_name(count, 50));
    REQUIRE(g.set_name(rate, 40));
    REQUIRE(g.set_name(where, 30));
    auto s = propagate::basic_store<journaled>::make(std::move(g), {}, kept_records{&kept, &fails});
    REQUIRE(s->publish(price));
    REQUIRE(s->publish(open));
    REQUIRE(s->publish(count));
    REQUIRE(s->publish(rate));
    REQUIRE(s->publish(where));
    REQUIRE(s->publish(*value));
    return book{std::move(*s), price, open, count, rate, where, *value};
  };
  book b = make();
  REQUIRE(b.store.transact([&](auto& t) -> result<void> {
    REQUIRE(t.write(b.price, 3.5));
    REQUIRE(t.write(b.open, true));
    REQUIRE(t.write(b.count, -7));
    REQUIRE(t.write(b.where, {5, 6}));
    return t.write(b.rate, 0.25);
  }));
  REQUIRE(b.store.transact([&](auto& t) { return t.write(b.count, 8); }));
  REQUIRE(kept.size() == 2);
  CHECK(kept[1].epoch == kept[0].epoch + 1);
  CHECK(kept[1].epoch == b.store.stats().epoch);

  fails = true;
  auto const before = b.store.stats();
  auto const refused = b.store.transact([&](auto& t) { return t.write(b.price, 9.0); });
  CHECK(refused.error() == error{errc::native_failure, {}, 5});
  fails = false;
  CHECK(b.store.stats().epoch == before.epoch);
  CHECK(b.store.snapshot()->read(b.price).value() == 3.5);
  CHECK(b.store.snapshot()->read(b.value).value() == 28);

  book again = make();
  for (auto const& each : std::vector(kept)) {
    REQUIRE(again.store.replay({each.record.data(), each.record.size()}));
  }
  CHECK(kept.size() == 2);  // what is replayed is not recorded again
  auto const now = again.store.snapshot().value();
  CHECK(now.read(again.price).value() == 3.5);
  CHECK(now.read(again.open).value());
  CHECK(now.read(again.count).value() == 8);
  CHECK(now.read(again.rate).value() == 0.25);
  CHECK(now.read(again.where).value().y == 6);
  CHECK(now.read(again.value).value() == 28);

  // a record of another structure, or damaged, changes nothing
  auto const epoch = again.store.stats().epoch;
  auto record = kept[0].record;
  for (std::size_t at = 0; at < record.size(); ++at) {
    record[at] ^= std::byte{16};
    auto const done = again.store.replay({record.data(), record.size()});
    CHECK_FALSE(done);
    record[at] ^= std::byte{16};
    auto const cut = again.store.replay({record.data(), at});
    CHECK((!cut || at == 0 || *cut > epoch));
  }
  REQUIRE(again.store.unpublish(again.open));
  CHECK(again.store.replay({record.data(), record.size()}).error().code == errc::unknown_id);

  auto const nameless = b.store.edit([](auto& g) { return g.input(1.0); }).value();
  CHECK(b.store.publish(nameless).error().code == errc::bad_argument);
  auto const text = b.store.edit([](auto& g) { return g.input(std::string("a")); }).value();
  REQUIRE(b.store.edit([&](auto& g) { return g.set_name(text, 99); }));
  CHECK(b.store.publish(text).error().code == errc::bad_argument);
  struct padded {
    std::uint8_t side;
    double size;
  };
  auto const order = b.store
                         .edit([](auto& g) {
                           auto const made = g.input(padded{}, propagate::never_same{}).value();
                           REQUIRE(g.set_name(made, 98));
                           return made;
                         })
                         .value();
  CHECK(b.store.publish(order).error() == error{errc::bad_argument, {}, 1});
}

namespace {

struct told {
  struct change {
    std::uint64_t epoch, name;
    double value;
    errc failure;
    bool operator==(change const&) const = default;
  };
  std::vector<change>* to;
  bool const* full;

  [[nodiscard]] result<void> deliver(std::uint64_t epoch,
                                     propagate::cell_changes<double> changes) const noexcept {
    if (*full) { return core::fail(errc::full); }
    for (std::size_t i = 0; i < changes.size(); ++i) {
      to->push_back({epoch, changes.key(i), changes.value<0>(i), changes.value<1>(i).code});
    }
    return {};
  }
};
static_assert(propagate::mailbox<told, double>);

}  // namespace

TEST_CASE(
    "store: subscribers get what changes, in the order of epochs, and lose nothing when full") {
  sums<> s;
  std::vector<told::change> got;
  bool full = false;
  propagate::cell<double> const cells[] = {s.sum, s.a};
  CHECK(s.store.subscribe<double>(cells, told{&got, &full}).error() ==
        error{errc::bad_argument, {}, 1});
  REQUIRE(s.store.unpublish(s.sum));
  REQUIRE(s.store.unpublish(s.a));
  REQUIRE(s.store.edit([&](auto& g) { return g.set_name(s.sum, 7); }));
  REQUIRE(s.store.edit([&](auto& g) { return g.set_name(s.a, 9); }));
  CHECK(s.store.subscribe<double>(cells, told{&got, &full}).error() ==
        error{errc::unknown_id, {}, 1});
  REQUIRE(s.store.publish(s.sum));
  REQUIRE(s.store.publish(s.a));
  auto const id = s.store.subscribe<double>(cells, told{&got, &full});
  REQUIRE(id);
  propagate::cell<double> const twice[] = {s.sum, s.sum};
  CHECK(s.store.subscribe<double>(twice, told{&got, &full}).error().code == errc::duplicate);
  CHECK(s.store.unpublish(s.sum).error().code == errc::busy);
  CHECK(s.store.subscribe<double>({}, told{&got, &full}).error().code == errc::bad_argument);

  auto const first = s.store.stats().epoch + 1;
  s.write(5, 2);
  s.write(4, 3);  // the sum stays
  CHECK(got == std::vector<told::change>{
                   {first, 7, 7, errc::ok}, {first, 9, 5, errc::ok}, {first + 1, 9, 4, errc::ok}});
  got.clear();
  full = true;
  s.write(6, 3);
  s.write(8, 4);
  CHECK(s.store.stats().undelivered == 2);
  full = false;
  REQUIRE(s.store.transact([&](auto& t) { return t.write(s.b, 5); }));
  CHECK(got ==
        std::vector<told::change>{{first + 4, 7, 13, errc::ok}, {first + 4, 9, 8, errc::ok}});
  REQUIRE(s.store.unsubscribe(*id));
  CHECK(s.store.unsubscribe(*id).error().code == errc::unknown_id);
  got.clear();
  s.write(1, 1);
  CHECK(got.empty());
  REQUIRE(s.store.unpublish(s.sum));
}

namespace {

struct failing_store : propagate::default_store {
  struct graph_policy : propagate::default_graph {
    using resource = millrace::memory::failing_resource<>;
    static constexpr std::size_t small_bytes = 0;
  };
  using journal = kept_records;
};

}  // namespace

TEST_CASE("store: missing memory is an error, and nothing has changed") {
  millrace::memory::failure_plan plan;
  using store = propagate::basic_store<failing_store>;
  millrace::memory::failing_resource<> const from(plan);
  std::vector<kept_records::kept> kept;
  {
    auto g = store::graph::make(from).value();
    auto const a = g.input(1.0).value();
    auto const b = g.input(true).value();
    REQUIRE(g.set_name(a, 1));
    REQUIRE(g.set_name(b, 2));
    auto const twice = g.computed([](double x) { return 2 * x; }, a).value();
    auto const insist = [&](auto call, auto&& unchanged) {
      for (std::uint64_t k = 1;; ++k) {
        plan.fail_at = plan.seen + k;
        auto made = call();
        plan.fail_at = 0;
        if (made) { return k; }
        REQUIRE(made.error().code == errc::out_of_memory);
        unchanged();
      }
    };
    std::unique_ptr<store> s;
    CHECK(insist(
              [&]() -> result<void> {
                auto made = store::make(std::move(g), {}, kept_records{&kept});
                if (!made) { return core::fail(made.error().code); }
                s = std::make_unique<store>(std::move(*made));
                return {};
              },
              [&] { CHECK(g.read(twice).value() == 2); }) == 3);
    auto const same = [&] {
      auto const now = s->snapshot();
      REQUIRE(now);
      CHECK(now->read(a).error().code == errc::unknown_id);
    };
    CHECK(insist([&] { return s->publish(a); }, same) >= 5);
    REQUIRE(s->publish(b));
    REQUIRE(s->publish(twice));
    for (int i = 1; i <= 50; ++i) {
      auto const before = s->stats();
      insist(
          [&] {
            return s->transact([&](auto& t) -> result<void> {
              if (auto const done = t.write(a, i + 1.0); !done) { return done; }
              auto const had = t.read(twice);
              if (!had) { return core::fail(had.error().code); }
              return t.write(b, i % 2 == 0);
            });
          },
          [&] {
            CHECK(s->stats().epoch == before.epoch);
            auto const now = s->snapshot();
            CHECK(now->read(a).value() == i);
            CHECK(now->read(twice).value() == 2 * i);
            CHECK(kept.size() == static_cast<std::size_t>(i - 1));
          });
      CHECK(kept.size() == static_cast<std::size_t>(i));
    }
    std::vector<told::change> got;
    bool full = false;
    propagate::cell<double> const cells[] = {a};
    CHECK(insist([&] { return s->template subscribe<double>(cells, told{&got, &full}); }, [] {}) >
          4);
    auto const record = kept.back().record;
    insist([&] { return s->replay({record.data(), record.size()}); }, [] {});
    CHECK(s->snapshot()->read(a).value() == 51);
    REQUIRE(s->transact([&](auto& t) { return t.write(a, 3.0); }));
    CHECK(got.size() == 1);
  }
  CHECK(plan.live_bytes == 0);
}

namespace {

/// Copies of it fail while that is wished.
struct touchy {
  std::shared_ptr<bool> refuses = std::make_shared<bool>(false);
  int value = 0;

  touchy() = default;
  explicit touchy(int v, std::shared_ptr<bool> r) : refuses{std::move(r)}, value{v} {}
  touchy(touchy const& other) : refuses{other.refuses}, value{other.value} {
    if (*refuses) { throw std::bad_alloc(); }
  }
  touchy(touchy&&) noexcept = default;
  touchy& operator=(touchy const& other) {
    if (*other.refuses) { throw std::bad_alloc(); }
    refuses = other.refuses;
    value = other.value;
    return *this;
  }
  touchy& operator=(touchy&&) noexcept = default;
  ~touchy() = default;
  bool operator==(touchy const& other) const { return value == other.value; }
};

}  // namespace

TEST_CASE("store: a value whose copy throws is a failure of that epoch") {
  auto refuses = std::make_shared<bool>(false);
  auto g = propagate::graph::make().value();
  auto const a = g.input(touchy(1, refuses)).value();
  auto s = propagate::store::make(std::move(g)).value();
  REQUIRE(s.publish(a));
  auto t = s.begin().value();
  REQUIRE(t.write(a, touchy(2, refuses)));
  auto const before = s.snapshot().value();
  *refuses = true;
  CHECK(t.read(a).error().code == errc::out_of_memory);
  CHECK(before.read(a).error().code == errc::out_of_memory);
  REQUIRE(t.commit());
  *refuses = false;
  CHECK(before.read(a)->value == 1);
  CHECK(s.snapshot()->read(a).error().code == errc::out_of_memory);
  REQUIRE(s.transact([&](auto& u) { return u.write(a, touchy(3, refuses)); }));
  CHECK(s.snapshot()->read(a)->value == 3);
}

TEST_CASE("store: threads that move amounts about lose none, and who reads sees all of them") {
  static constexpr int accounts = 8, writers = 4;
  int const moves = millrace_test::long_tier() ? 100'000 : 4'000;
  auto g = propagate::graph::make().value();
  std::array<propagate::input<std::int64_t>, accounts> account;
  std::vector<propagate::cell<std::int64_t>> all;
  for (auto& each : account) {
    each = g.input(std::int64_t{1000}).value();
    all.push_back(each);
  }
  auto const total =
      g.combined(
           [](propagate::values<std::int64_t> v) {
             std::int64_t s = 0;
             for (std::size_t i = 0; i < v.size(); ++i) { s += v[i]; }
             return s;
           },
           cuda::std::span<propagate::cell<std::int64_t> const>(all.data(), all.size()))
          .value();
  auto s = propagate::store::make(std::move(g), {.kept_epochs = 3}).value();
  for (auto const& each : all) { REQUIRE(s.publish(each)); }
  REQUIRE(s.publish(total));
  std::atomic<int> working{writers}, wrong{0};
  std::atomic<std::uint64_t> looks{0};
  std::vector<std::thread> threads;
  for (int w = 0; w < writers; ++w) {
    threads.emplace_back([&, w] {
      for (int i = 0; i < moves; ++i) {
        auto const from = account[static_cast<std::size_t>((i * 31 + w) % accounts)];
        auto const to = account[static_cast<std::size_t>((i * 17 + 3 * w + 1) % accounts)];
        auto const done = s.transact([&](auto& t) -> result<void> {
          auto const had = t.read(from);
          if (!had) { return core::fail(had.error().code); }
          if (auto const w1 = t.write(from, *had - 1); !w1) { return w1; }
          auto const has = t.read(to);
          if (!has) { return core::fail(has.error().code); }
          return t.write(to, *has + 1);
        });
        if (!done) { ++wrong; }
      }
      --working;
    });
  }
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      do {
        auto const now = r == 0 ? s.snapshot() : s.at(s.stats().epoch);
        if (!now) {
          if (now.error().code != errc::released) { ++wrong; }
          continue;
        }
        std::int64_t sum = 0;
        for (auto const& each : all) { sum += now->read(each).value(); }
        if (sum != 1000 * accounts || now->read(total).value() != sum) { ++wrong; }
        ++looks;
      } while (working != 0);
    });
  }
  threads.emplace_back([&] {  // structure changes beside them
    while (working != 0) {
      auto const extra = s.edit(
          [&](auto& graph) { return graph.computed([](std::int64_t x) { return -x; }, total); });
      if (!extra || !s.publish(*extra)) { ++wrong; }
      auto const now = s.snapshot();
      if (!now || now->read(*extra).value() != -1000 * accounts) { ++wrong; }
      if (!s.unpublish(*extra) || !s.edit([&](auto& graph) { return graph.remove(extra->id()); })) {
        ++wrong;
      }
      std::this_thread::yield();
    }
  });
  for (auto& each : threads) { each.join(); }
  CHECK(wrong == 0);
  CHECK(looks > 0);
  auto const now = s.snapshot().value();
  std::int64_t sum = 0;
  for (auto const& each : all) { sum += now.read(each).value(); }
  CHECK(sum == 1000 * accounts);
  CHECK(s.stats().commits == static_cast<std::uint64_t>(writers * moves));
}
