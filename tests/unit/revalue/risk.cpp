// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/risk.hpp"

#include "examples/revalue/desk.hpp"
#include "sample.hpp"
#include <millrace/core/rng.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace revalue;

namespace {

risk random_risk(millrace::core::splitmix_rng& rng) {
  auto const draw = [&] { return uniform(rng, -1e9, 1e9); };
  return {draw(), draw(), draw(), draw(), draw(), draw(), {}};
}

}  // namespace

TEST_CASE("risk_tree: refreshing leaf after leaf gives the bits of a rebuild, for any size") {
  millrace::core::splitmix_rng rng(5);
  for (std::uint32_t leaves = 1; leaves < 70; ++leaves) {
    std::vector<risk> stepwise(risk_tree::size(leaves));
    risk_tree const tree{stepwise.data(), leaves};
    for (int round = 0; round < 50; ++round) {
      auto const leaf = static_cast<std::uint32_t>(rng.next() % leaves);
      stepwise[leaf] = random_risk(rng);
      tree.refresh(leaf);
    }
    std::vector<risk> whole = stepwise;
    risk_tree const rebuilt{whole.data(), leaves};
    rebuilt.rebuild(solo{});
    CHECK(rebuilt.root() == tree.root());
    CHECK(whole == stepwise);
  }
}

TEST_CASE("risk_tree: adds up every leaf exactly once") {
  for (std::uint32_t leaves = 1; leaves < 300; ++leaves) {
    std::vector<risk> nodes(risk_tree::size(leaves));
    double wanted = 0;
    for (std::uint32_t i = 0; i < leaves; ++i) {
      nodes[i].value = i + 1;
      wanted += i + 1;
    }
    risk_tree const tree{nodes.data(), leaves};
    tree.rebuild(solo{});
    CHECK(tree.root().value == wanted);
  }
}

TEST_CASE("risk_tree: is as large as its levels, each half of the one below rounded up") {
  CHECK(risk_tree::size(1) == 1);
  CHECK(risk_tree::size(2) == 3);
  CHECK(risk_tree::size(5) == 5 + 3 + 2 + 1);
  CHECK(risk_tree::size(313) == 313 + 157 + 79 + 40 + 20 + 10 + 5 + 3 + 2 + 1);
}

TEST_CASE("risk_of: weighs each lane of a leaf, and a lane of weight 0 not at all") {
  option_block options[leaf_blocks]{};
  value_block values[leaf_blocks]{};
  double wanted = 0;
  for (std::uint32_t b = 0; b < leaf_blocks; ++b) {
    for (int i = 0; i < block_width; ++i) {
      options[b].weight[i] = i % 3 == 0 ? 0 : i - 4;
      values[b].value[i] = 10 * b + i;
      wanted += options[b].weight[i] * values[b].value[i];
    }
  }
  CHECK(risk_of(options, values).value == wanted);
}
