// SPDX-License-Identifier: Apache-2.0
#include "access.hpp"
#include "verdict.hpp"
#include <millrace/memory/slab.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace {

namespace memory = millrace::memory;

// Threads take a block, write it, read it back and return it, `turns` times each.
template <class Access>
race::report churn(int threads, int turns, std::uint32_t blocks, race::options how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& owner = run.make<memory::slab<Access>>(std::move(*memory::slab<Access>::make(8, blocks)));
    for (int t = 0; t < threads; ++t) {
      run.thread([ref = owner.ref(), t, turns] {
        for (int i = 0; i < turns; ++i) {
          auto const index = ref.allocate();
          if (!index) { continue; }
          void* const block = ref.block(*index);
          auto const mine = static_cast<std::uint64_t>(t * 16 + i);
          std::uint64_t seen = 0;
          Access::write(block, 8, "block.write");
          std::memcpy(block, &mine, 8);
          Access::read(block, 8, "block.read");
          std::memcpy(&seen, block, 8);
          race::check(seen == mine, "nobody else has the block");
          race::check(ref.free(*index).has_value(), "the block goes back once");
        }
      });
    }
    run.after([ref = owner.ref()] { race::check(ref.live() == 0, "every block went back"); });
  });
}

}  // namespace

TEST_CASE("slab: blocks go from owner to owner without a race") {
  require_proven(churn<race::access>(2, 2, 1), "2 threads, 1 block, 2 turns");
  require_proven(churn<race::access>(2, 2, 2), "2 threads, 2 blocks, 2 turns");
  require_proven(churn<race::access>(3, 1, 2), "3 threads, 2 blocks, 1 turn");
}

TEST_CASE("slab: a relaxed claim or a relaxed return is found") {
  require_found(churn<race::weakened<"slab.claim">>(2, 2, 1), race::failure_kind::data_race,
                "relaxed slab.claim");
  require_found(churn<race::weakened<"slab.free">>(2, 2, 1), race::failure_kind::data_race,
                "relaxed slab.free");
}

TEST_CASE("slab: of two returns of one block one is refused") {
  race::options how;
  how.preemptions = race::unbounded;
  race::report const r = race::explore(how, [](race::run& run) {
    using slab = memory::slab<race::access>;
    struct counts {
      std::uint32_t refused = 0;
    };
    auto& owner = run.make<slab>(std::move(*slab::make(8, 2)));
    auto& sums = run.make<counts>();
    auto const block = *owner.ref().allocate();
    for (int t = 0; t < 2; ++t) {
      run.thread([ref = owner.ref(), &sums, block] {
        if (!ref.free(block)) {
          race::access::fetch_add(sums.refused, 1, race::relaxed, "refused");
        }
      });
    }
    run.after([&sums] { race::check(sums.refused == 1, "one return counts"); });
  });
  require_proven(r, "2 threads free one block");
}
