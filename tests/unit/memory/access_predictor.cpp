// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include <millrace/memory/access_predictor.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>

namespace memory = millrace::memory;
using memory::byte_range;
using memory::foretold_by;

namespace predictor_test {

constexpr std::uint64_t extent = 1 << 20;

template <class P>
void observe(P& predictor, std::initializer_list<std::uint64_t> offsets) {
  for (std::uint64_t const at : offsets) { predictor.observe({at, 8}, extent); }
}

}  // namespace predictor_test

using namespace predictor_test;

TEST_CASE("byte_range: what two ranges share and what one has alone") {
  byte_range const r{100, 50};
  CHECK(r.overlaps({149, 1}));
  CHECK_FALSE(r.overlaps({150, 1}));
  CHECK_FALSE(r.overlaps({99, 1}));
  CHECK(r.covers({100, 50}));
  CHECK_FALSE(r.covers({99, 2}));
  CHECK(r.without({150, 9}) == r);
  CHECK(r.without({90, 20}) == byte_range{110, 40});
  CHECK(r.without({120, 100}) == byte_range{100, 20});
  CHECK(r.without({120, 5}) == byte_range{100, 20});
  CHECK(r.without({100, 10}) == byte_range{110, 40});
  CHECK(r.without({100, 50}).bytes == 0);
  CHECK(r.without({0, 1000}).bytes == 0);
}

TEST_CASE("successor_table: an exception is forgiven once, a change is learnt") {
  memory::successor_table<8> table;
  CHECK(table.find(7) == nullptr);
  table.learn(7, 1, 8);
  table.learn(7, 2, 8);
  CHECK(table.find(7)->step == 1);
  table.learn(7, 2, 16);
  CHECK(table.find(7)->step == 2);
  CHECK(table.find(7)->bytes == 16);
}

TEST_CASE("successor_table: a full set gives up what is no longer used") {
  memory::successor_table<8> table;
  for (std::uint64_t context = 1; context <= 8; ++context) { table.learn(context, 1, 8); }
  for (int i = 0; i < 8; ++i) {
    table.learn(9, 1, 8);  // full: in the end all must show again that they are used
    CHECK(table.find(9) == nullptr);
  }
  for (std::uint64_t const context : {1u, 2u, 4u, 5u, 6u, 7u, 8u}) { table.learn(context, 1, 8); }
  table.learn(9, 1, 8);
  CHECK(table.find(3) == nullptr);
  for (std::uint64_t const context : {1u, 2u, 4u, 5u, 6u, 7u, 8u, 9u}) {
    CHECK(table.find(context) != nullptr);
  }
}

TEST_CASE("successor_table: of more contexts in turn than it holds, most stay") {
  memory::successor_table<8> table;
  int found = 0;
  for (int epoch = 0; epoch < 100; ++epoch) {
    for (std::uint64_t context = 1; context <= 10; ++context) {
      found += table.find(context) != nullptr ? 1 : 0;
      table.learn(context, 1, 8);
    }
  }
  CHECK(found > 600);
}

TEST_CASE("access_predictor: an order is not believed once it was wrong, until it is right again") {
  memory::access_predictor<64> predictor;
  CHECK(predictor.best(extent) == foretold_by::nothing);
  observe(predictor, {0, 80, 300, 0, 80});
  CHECK(predictor.best(extent) == foretold_by::place);
  byte_range next;
  REQUIRE(predictor.foretell(foretold_by::place, predictor.now(), extent, next));
  CHECK(next == byte_range{300, 8});
  observe(predictor, {707, 0, 80});  // something else came
  CHECK(predictor.best(extent) == foretold_by::nothing);
  observe(predictor, {300, 0, 80, 300, 0, 80});
  CHECK(predictor.best(extent) == foretold_by::place);
}

TEST_CASE("access_predictor: nothing is foretold outside the memory") {
  memory::access_predictor<64> predictor;
  byte_range next;
  observe(predictor, {64, 48, 32, 16});
  REQUIRE(predictor.foretell(foretold_by::gap, predictor.now(), extent, next));
  CHECK(next == byte_range{0, 8});
  predictor.observe({0, 8}, extent);
  CHECK_FALSE(predictor.foretell(foretold_by::gap, predictor.now(), extent, next));
  memory::access_predictor<64> up;
  observe(up, {extent - 64, extent - 48, extent - 32, extent - 16});
  CHECK_FALSE(up.foretell(foretold_by::gap, up.now(), extent, next));
  CHECK_FALSE(up.foretell(foretold_by::nothing, up.now(), extent, next));
}
