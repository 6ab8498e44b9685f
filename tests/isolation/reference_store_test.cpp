// SPDX-License-Identifier: Apache-2.0
// A store with mistakes planted in it: the checker finds each of them soon, and none where there is
// none.
#include "reference_store.hpp"

#include "checker.hpp"
#include "tier.hpp"
#include <millrace/core/clock.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace {

using namespace millrace_test::isolation;

// A sanitizer looks at the checker's memory, for which a part of the runs is enough: they take ten
// times as long with it.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::uint32_t part = 10;
#else
constexpr std::uint32_t part = 1;
#endif

history played(std::uint64_t seed, std::uint32_t transactions, planted bug) {
  reference_store store(seed, bug);
  store.play(transactions);
  return store.told();
}

/// How a mistake shows.
struct sign {
  planted bug;
  std::vector<anomaly> some;  ///< each run has one of these
  std::vector<anomaly> never;
};

std::vector<sign> const signs = {
    {planted::no_read_validation, {anomaly::g2_item}, {anomaly::g_single, anomaly::lost_append}},
    {planted::no_write_validation, {anomaly::lost_append}, {anomaly::g1a}},
    {planted::dirty_read, {anomaly::g1a, anomaly::g1b, anomaly::g1c}, {}},
    {planted::aborted_visible, {anomaly::g1a}, {anomaly::g2_item, anomaly::lost_append}},
    {planted::intermediate_visible, {anomaly::g1b}, {}},
    {planted::fractured_snapshot, {anomaly::g_single}, {anomaly::g1a, anomaly::g1b}},
    {planted::uneven_snapshot, {anomaly::g_single, anomaly::g_nonadjacent}, {anomaly::g1a}},
    {planted::stale_snapshot, {anomaly::g_single}, {anomaly::g1a}},
    {planted::early_publish, {anomaly::g_single, anomaly::lost_append}, {anomaly::g1a}},
    {planted::publish_before_install,
     {anomaly::internal, anomaly::incompatible_order},
     {anomaly::g1a}},
    {planted::early_release, {anomaly::g_single}, {anomaly::g1a}},
    {planted::own_writes_unseen, {anomaly::internal}, {anomaly::g1a, anomaly::lost_append}},
    {planted::lost_commit, {anomaly::lost_append}, {anomaly::g1a}},
    {planted::installed_twice, {anomaly::duplicate}, {anomaly::g1a}},
    {planted::late_reservation, {anomaly::lost_append, anomaly::g2_item}, {anomaly::g1a}}};

}  // namespace

TEST_CASE("reference store: each planted mistake is found within 10,000 transactions") {
  REQUIRE(signs.size() + 1 == planted_kinds);
  std::uint64_t const seeds = millrace_test::long_tier() ? 100 : 10 / part;
  for (sign const& s : signs) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      report const found = check(played(seed, 10'000, s.bug));
      INFO(std::string(describe(s.bug)) << ", seed " << seed << "\n" << found.text());
      auto const has = [&](anomaly a) { return found.has(a); };
      CHECK(std::any_of(s.some.begin(), s.some.end(), has));
      CHECK(std::none_of(s.never.begin(), s.never.end(), has));
      CHECK(found.snapshot_isolated() == (s.bug == planted::no_read_validation));
    }
  }
}

TEST_CASE("reference store: without one nothing is found, whatever counts") {
  std::uint64_t const seeds = millrace_test::long_tier() ? 2'000 : 200 / part;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    history const h = played(seed, 1'000, planted::nothing);
    for (order by : {order::none, order::process, order::realtime}) {
      for (bool opaque : {false, true}) {
        report const found = check(h, {by, opaque});
        INFO("seed " << seed << "\n" << found.text());
        CHECK(found.serializable());
      }
    }
  }
}

TEST_CASE("reference store: a stale snapshot is serialisable, but for the order of processes") {
  for (std::uint64_t seed = 1; seed <= 20 / part; ++seed) {
    history const h = played(seed, 2'000, planted::stale_snapshot);
    INFO("seed " << seed);
    CHECK(check(h, {order::none}).serializable());
    CHECK(!check(h, {order::process}).serializable());
    CHECK(!check(h, {order::realtime}).snapshot_isolated());
  }
}

TEST_CASE("reference store: snapshots without validation, as snapshot isolation allows") {
  std::uint64_t const seeds = millrace_test::long_tier() ? 200 : 50 / part;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    report const found =
        check(played(seed, 5'000, planted::no_read_validation), {order::realtime, true});
    INFO("seed " << seed << "\n" << found.text());
    CHECK(found.snapshot_isolated());
    CHECK(found.has(anomaly::g2_item));
  }
}

TEST_CASE("reference store: a single mistake among many transactions") {
  std::uint32_t const count = millrace_test::long_tier() ? 1'000'000 : 100'000 / part;
  history h = played(7, count, planted::nothing);
  std::uint64_t const begin = millrace::core::now_ns();
  report const clean = check(h);
  MESSAGE(count << " transactions, " << h.operations().size()
                << " operations: " << (millrace::core::now_ns() - begin) / 1'000'000 << " ms");
  CHECK(clean.serializable());
  // T, of another process, reads an early list as it was before its last append
  list_key key = 0;
  std::span<list_value const> list;
  for (std::uint32_t t = 0; t < h.size() && list.size() < 20; ++t) {
    for (operation const& o : h.operations(t)) {
      if (!o.appends() && h[t].ended == outcome::committed) { key = o.key, list = h.list(o); }
    }
  }
  REQUIRE(list.size() >= 20);
  std::vector<list_value> const older(list.begin(), list.end() - 1);
  std::uint64_t last = 0;
  for (std::uint32_t t = 0; t < h.size(); ++t) { last = std::max(last, h[t].end); }
  h.begin(9, last + 1);
  h.read(key, older);
  h.end(outcome::committed, last + 2);
  CHECK(check(h, {order::process}).serializable());
  report const found = check(h);
  INFO(found.text());
  CHECK(found.count(anomaly::g_single, order::realtime) == 1);
}
