// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "unit/delta/runs.hpp"
#include "unit/delta/sorted_folds.hpp"
#include <millrace/core/access.hpp>
#include <millrace/delta/fold_tiles.hpp>

#include <cuda/atomic>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

using namespace millrace_test;
using delta::stepped_team;

namespace fold_tiles_test {

using shared_words = millrace::core::direct_access<cuda::thread_scope_system>;

template <class C, class K, class... Vs>
struct fold_run {
  std::vector<std::uint32_t> order;
  std::vector<K> keys;
  table<K, Vs...> out;
  std::vector<std::uint64_t> states;
  std::size_t size = 77;
  std::uint64_t next = 0;
  std::size_t tiles;

  fold_run(delta::change_set_ref<K, Vs...> rows, std::size_t tile_rows)
      : order(order_of(rows)),
        out(rows.size()),
        states((rows.size() + tile_rows - 1) / tile_rows, 0),
        tiles(states.size()) {
    for (std::uint32_t const i : order) { keys.push_back(rows.key(i)); }
  }
  [[nodiscard]] delta::detail::fold_args<C, K, Vs...> args(delta::change_set_ref<K, Vs...> rows,
                                                           C const& combine) {
    return {rows,  keys.data(),   order.data(), out.space(), combine,
            &size, states.data(), &next,        tiles};
  }
};

template <class Team>
struct by_tiles {
  template <class C, class K, class... Vs>
  table<K, Vs...> operator()(delta::change_set_ref<K, Vs...> rows, C const& combine) const {
    using space = delta::detail::fold_space<Team, Vs...>;
    fold_run<C, K, Vs...> run(rows, Team::size * delta::detail::fold_rows_per_thread);
    auto const args = run.args(rows, combine);
    auto const shared = std::make_unique<space>();
    for (std::size_t i = 0; i < run.tiles; ++i) {
      delta::detail::fold_tile<shared_words, shared_words, Team>(args, *shared);
    }
    if (run.tiles == 0) { run.size = 0; }
    return first_rows(run.out, run.size);
  }
};

}  // namespace fold_tiles_test
using namespace fold_tiles_test;

TEST_CASE("fold_tiles: rows of a key become one in the order in which they came") {
  every_fold(by_tiles<stepped_team<1>>{}, 8);
  every_fold(by_tiles<stepped_team<64>>{}, 512);
}
