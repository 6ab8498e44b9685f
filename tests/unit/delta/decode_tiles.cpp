// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/encoded_runs.hpp"
#include "unit/delta/thread_team.hpp"
#include <millrace/core/access.hpp>
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/decode_tiles.hpp>

#include <cuda/atomic>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace delta = millrace::delta;
using namespace millrace_test;

namespace decode_tiles_test {
using shared_words = millrace::core::direct_access<cuda::thread_scope_system>;
}
using namespace decode_tiles_test;

TEST_CASE("decode_tiles: members that run at once meet at every barrier they need") {
  using team = thread_team<32>;
  auto const rows = rows_of<std::uint64_t, double, std::int32_t>(300, gaps::geometric, 5);
  auto const bytes = encoded(rows.ref());
  auto const run = millrace::core::value_or_throw(
      delta::encoded_run_ref<std::uint64_t, double, std::int32_t>::make(bytes.bytes()));
  auto out = millrace::core::value_or_throw(
      delta::change_set<std::uint64_t, double, std::int32_t>::make(300));
  std::uint64_t good = run.blocks();
  auto const args =
      delta::detail::decode_args_of(run.index(), bytes.bytes().data(), out.space(), &good);
  auto const shared = std::make_unique<delta::detail::decode_space<team>>();
  team::run([&] { delta::detail::decode_some<shared_words, team>(args, 0, args.tables, *shared); });
  CHECK(good == run.blocks());
  out.set_size(300);
  CHECK(out.ref() == rows.ref());
}
