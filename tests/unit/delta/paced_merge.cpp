// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/fold_equal.hpp>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/delta/paced_merge.hpp>
#include <millrace/memory/failing_resource.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace core = millrace::core;
namespace delta = millrace::delta;
namespace memory = millrace::memory;
using millrace::errc;
using std::int32_t;
using std::size_t;
using std::uint32_t;
using std::uint64_t;

namespace {

using set = delta::change_set<uint32_t, int32_t>;
using row = delta::change<uint32_t, int32_t>;

/// Keys about `gap` apart, some more than once when gap is 0; values 1 and -1.
[[nodiscard]] set random_run(core::xoshiro_rng& rng, size_t size, uint64_t gap) {
  set made = core::value_or_throw(set::make(size));
  uint32_t key = 0;
  for (size_t i = 0; i < size; ++i) {
    key += static_cast<uint32_t>(gap == 0 ? core::below(rng, 2) : 1 + core::below(rng, gap));
    made.space().put(i, key, rng.next() % 2 == 0 ? 1 : -1);
  }
  made.set_size(size);
  return made;
}

[[nodiscard]] set reference(set const& older, set const& newer, delta::equals how) {
  set made = core::value_or_throw(set::make(older.size() + newer.size()));
  if (how == delta::equals::combined) {
    made.set_size(delta::merge_scalar<delta::keep::either>(older.ref(), newer.ref(), made.space(),
                                                           delta::count{}));
    return made;
  }
  size_t const all =
      delta::merge_scalar<delta::keep::all>(older.ref(), newer.ref(), made.space(), delta::count{});
  made.set_size(how == delta::equals::kept
                    ? all
                    : delta::fold_equal(made.space(), 0, 0, all, delta::count{}));
  return made;
}

}  // namespace

TEST_CASE("paced_merge: however it is cut into steps, the rows are those of one merge") {
  using merging = delta::paced_merge<row, delta::count, memory::host_resource>;
  core::xoshiro_rng rng(1);
  for (auto const how : {delta::equals::combined, delta::equals::folded, delta::equals::kept}) {
    for (size_t const sizes : {0u, 1u, 17u, 300u, 9000u}) {
      for (int round = 0; round < 6; ++round) {
        uint64_t const gap =
            how == delta::equals::combined ? 1 + core::below(rng, 4) : core::below(rng, 3);
        set const older = random_run(rng, sizes, gap);
        set const newer = random_run(rng, static_cast<size_t>(core::below(rng, sizes + 2)), gap);
        set const want = reference(older, newer, how);
        auto tested =
            core::value_or_throw(merging::make(older.ref(), newer.ref(), how, delta::count{}, {}));
        uint64_t const most = round == 0 ? 1 : 1 + core::below(rng, sizes + 1);
        size_t left = older.size() + newer.size();
        while (!tested.done()) {
          size_t const asked = static_cast<size_t>(1 + core::below(rng, most));
          size_t const taken = tested.advance(asked);
          REQUIRE(taken >= (asked < left ? asked : left));
          REQUIRE(taken <= asked + 1);
          left -= taken;
          REQUIRE(tested.left() == left);
          // what it says it has passed is as it will be at the end
          auto const written = tested.written();
          for (size_t i = written.size(); i > 0 && i + 3 > written.size(); --i) {
            if (tested.has_passed(written.key(i - 1))) {
              REQUIRE(written.key(i - 1) == want.ref().key(i - 1));
              REQUIRE(written.value(i - 1) == want.ref().value(i - 1));
            }
          }
        }
        CHECK(tested.advance(100) == 0);
        CHECK(tested.take_result().ref() == want.ref());
      }
    }
  }
}

TEST_CASE("paced_merge: says when there is no memory") {
  memory::failure_plan plan;
  plan.fail_at = 1;
  using merging = delta::paced_merge<row, delta::count, memory::failing_resource<>>;
  auto const made = merging::make({}, {}, delta::equals::combined, delta::count{},
                                  memory::failing_resource<>(plan));
  REQUIRE_FALSE(made);
  CHECK(made.error().code == errc::out_of_memory);
}
