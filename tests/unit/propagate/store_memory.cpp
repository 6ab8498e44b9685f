// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/memory/checked_resource.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/propagate/store.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

// Where a store's memory comes from, and that it goes back there: versions are made in the lane and
// by transactions beside it, of the graph's blocks and of the resource.

namespace memory = millrace::memory;
namespace propagate = millrace::propagate;
namespace core = millrace::core;
using millrace::errc;
using millrace::result;

namespace {

using five = std::array<double, 5>;
struct large {
  std::array<std::uint64_t, 300> all{};
};
struct alignas(128) wide {
  std::uint64_t one = 0;
};
template <class T>
[[nodiscard]] T of(std::uint64_t k) {
  T made{};
  if constexpr (std::is_same_v<T, std::string>) {
    made = std::string(40, 'a') + std::to_string(k);
  } else if constexpr (std::is_same_v<T, five>) {
    made.fill(static_cast<double>(k));
  } else if constexpr (std::is_same_v<T, large>) {
    made.all.fill(k);
  } else if constexpr (std::is_same_v<T, wide>) {
    made.one = k;
  } else {
    made = static_cast<double>(k);
  }
  return made;
}
template <class T>
[[nodiscard]] bool is(T const& value, std::uint64_t k) {
  if constexpr (std::is_same_v<T, large>) {
    return value.all == of<T>(k).all;
  } else if constexpr (std::is_same_v<T, wide>) {
    return value.one == k;
  } else {
    return value == of<T>(k);
  }
}

void count(memory::memory_report const& report, void* reports) noexcept {
  memory::print_memory_report(report, nullptr);
  ++*static_cast<int*>(reports);
}
[[nodiscard]] memory::checked_resource<> watched(int& reports) {
  return memory::checked_resource<>::make({}, {.listener = count, .context = &reports}).value();
}

template <propagate::isolation Level>
struct watched_store : propagate::default_store {
  struct graph_policy : propagate::default_graph {
    using resource = memory::checked_resource<>;
  };
  static constexpr auto level = Level;
};

/// An input of a type, what is computed of it, and what both should be.
template <class Store, class T>
struct column {
  column(typename Store::graph& g)
      : in(g.input(of<T>(0)).value()), copy(g.computed([](T const& v) { return v; }, in).value()) {}

  void publish(Store& s) {
    REQUIRE(s.publish(in));
    REQUIRE(s.publish(copy));
  }
  void write(typename Store::transaction& t, std::uint64_t k) { REQUIRE(t.write(in, of<T>(k))); }
  void check(Store& s, std::uint64_t k) {
    auto const now = s.snapshot().value();
    REQUIRE(is(now.read(in).value(), k));
    REQUIRE(is(now.read(copy).value(), k));
  }

  propagate::input<T> in;
  propagate::cell<T> copy;
};

template <class Store>
void come_and_go(int& reports) {
  auto g = Store::graph::make(watched(reports)).value();
  std::tuple<column<Store, double>, column<Store, five>, column<Store, large>, column<Store, wide>,
             column<Store, std::string>>
      all(g, g, g, g, g);
  auto const each = [&](auto f) { std::apply([&](auto&... one) { (f(one), ...); }, all); };
  Store s = Store::make(std::move(g)).value();
  each([&](auto& one) { one.publish(s); });

  core::splitmix_rng chance(1);
  std::uint64_t now = 0;
  std::vector<typename Store::snapshot_type> held;
  for (std::uint64_t step = 1; step <= 1'500; ++step) {
    auto t = s.begin().value();
    each([&](auto& one) {
      REQUIRE(is(t.read(one.in).value(), now));
      one.write(t, 2 * step);
    });
    if (chance.next() % 4 == 0) {
      t.abort();
    } else if (chance.next() % 4 == 0) {  // loses against one that has come in between
      auto other = s.begin().value();
      each([&](auto& one) { one.write(other, 2 * step); });
      REQUIRE(other.commit());
      REQUIRE(t.commit().error().code == errc::conflict);
      now = 2 * step;
    } else {
      each([&](auto& one) { one.write(t, 2 * step + 1); });  // once more
      REQUIRE(t.commit());
      now = 2 * step + 1;
    }
    each([&](auto& one) { one.check(s, now); });
    if (step % 3 == 0 && held.size() < 120) { held.push_back(s.snapshot().value()); }
    if (step % 500 == 0) {
      held.clear();
      REQUIRE(s.collect());
    }
    if (step % 700 == 0) {
      each([&](auto& one) {
        REQUIRE(s.unpublish(one.copy));
        REQUIRE(s.publish(one.copy));
      });
    }
  }
  held.clear();

  std::vector<std::thread> threads;
  for (std::uint64_t who = 0; who < 4; ++who) {
    threads.emplace_back([&, who] {
      for (std::uint64_t k = 0; k < 200; ++k) {
        auto const done = s.transact([&](auto& t) -> result<void> {
          result<void> written{};
          each([&](auto& one) {
            using T = std::remove_cvref_t<decltype(*t.read(one.in))>;
            if (written) { written = t.write(one.in, of<T>(1000 * who + k)); }
          });
          return written;
        });
        if (!done) { ++reports; }
      }
    });
  }
  for (auto& each_thread : threads) { each_thread.join(); }
  CHECK(s.stats().conflicts > 0);
}

/// Refuses every third record.
struct fussy_journal {
  std::vector<std::vector<std::byte>>* kept;
  int* calls;

  [[nodiscard]] result<void> append(std::uint64_t,
                                    cuda::std::span<std::byte const> record) noexcept {
    if (++*calls % 3 == 0) { return core::fail(errc::full); }
    kept->emplace_back(record.begin(), record.end());
    return {};
  }
};
struct fussy_store : watched_store<propagate::isolation::serializable> {
  using journal = fussy_journal;
};

}  // namespace

TEST_CASE("store: all memory goes back where it came from") {
  int reports = 0;
  SUBCASE("serializable") {
    come_and_go<propagate::basic_store<watched_store<propagate::isolation::serializable>>>(reports);
  }
  SUBCASE("snapshot isolation") {
    come_and_go<propagate::basic_store<watched_store<propagate::isolation::snapshot>>>(reports);
  }
  CHECK(reports == 0);
}

TEST_CASE("store: memory of refused and replayed commits goes back as well") {
  int reports = 0;
  {
    using store = propagate::basic_store<fussy_store>;
    std::vector<std::vector<std::byte>> kept;
    int calls = 0;
    auto g = store::graph::make(watched(reports)).value();
    auto const a = g.input(0.0).value();
    REQUIRE(g.set_name(a, 1));
    auto const twice = g.computed([](double x) { return 2 * x; }, a).value();
    auto s = store::make(std::move(g), {}, fussy_journal{&kept, &calls}).value();
    REQUIRE(s.publish(a));
    REQUIRE(s.publish(twice));
    double now = 0;
    for (int k = 1; k <= 300; ++k) {
      auto const made = s.transact([&](auto& t) { return t.write(a, k); });
      if (made) {
        now = k;
      } else {
        REQUIRE(made.error().code == errc::full);
      }
      REQUIRE(s.snapshot()->read(twice).value() == 2 * now);
    }
    CHECK(kept.size() == 200);
    for (auto const& record : kept) { REQUIRE(s.replay({record.data(), record.size()})); }
    CHECK(s.snapshot()->read(twice).value() == 2 * now);
    kept.front().resize(3);
    CHECK_FALSE(s.replay({kept.front().data(), kept.front().size()}));
  }
  CHECK(reports == 0);
}

namespace {

struct counted_store : propagate::default_store {
  struct graph_policy : propagate::default_graph {
    using resource = memory::failing_resource<>;
  };
};

}  // namespace

TEST_CASE("store: what only a slow reader needs goes back to the resource when it has read") {
  memory::failure_plan plan;
  {
    using store = propagate::basic_store<counted_store>;
    auto g = store::graph::make(memory::failing_resource<>(plan)).value();
    auto const a = g.input(0.0).value();
    auto const sums =
        g.computed([](double x) { return of<five>(static_cast<std::uint64_t>(x)); }, a);
    auto s = store::make(std::move(g)).value();
    REQUIRE(s.publish(a));
    REQUIRE(s.publish(sums.value()));
    auto const commit = [&](double from) {
      for (int k = 1; k <= 300; ++k) {
        REQUIRE(s.transact([&](auto& t) { return t.write(a, from + k); }));
      }
    };
    commit(0);
    std::uint64_t const before = plan.live_bytes;
    std::optional<store::snapshot_type> slow = s.snapshot().value();
    for (int k = 1; k <= 30; ++k) { commit(1000 * k); }
    CHECK(plan.live_bytes > before + 9'000 * 64);
    CHECK(slow->read(a).value() == 300);
    slow.reset();
    commit(0);
    REQUIRE(s.collect());
    CHECK(plan.live_bytes < before + 64 * 1024);
  }
  CHECK(plan.live_bytes == 0);
}
