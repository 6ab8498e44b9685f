// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include <millrace/memory/size_classes.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

namespace memory = millrace::memory;
using classes = memory::four_an_octave<>;

TEST_CASE("size classes: the smallest that holds the bytes, for every size") {
  for (std::size_t bytes = 1; bytes <= classes::largest; ++bytes) {
    std::uint32_t const index = classes::index_of(bytes);
    REQUIRE(index < classes::count);
    REQUIRE(classes::bytes_of(index) >= bytes);
    REQUIRE((index == 0 || classes::bytes_of(index - 1) < bytes));
  }
}

TEST_CASE("size classes: multiples of 16, four an octave, at most a fifth wasted above 64 bytes") {
  CHECK(classes::count == 40);
  for (std::uint32_t i = 0; i < classes::count; ++i) {
    CHECK(classes::bytes_of(i) % 16 == 0);
    CHECK(classes::index_of(classes::bytes_of(i)) == i);
    if (i >= 4) {
      std::size_t const smallest = classes::bytes_of(i - 1) + 1;
      CHECK(5 * (classes::bytes_of(i) - smallest) <= classes::bytes_of(i));
      CHECK(classes::bytes_of(i) ==
            (i % 4 == 3 ? 2 : 1) * classes::bytes_of(i - i % 4 - 1) +
                (i % 4 == 3 ? 0 : (i % 4 + 1) * classes::bytes_of(i - i % 4 - 1) / 4));
    }
  }
}

TEST_CASE("size classes: an alignment is met by every block of the class") {
  for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
    for (std::size_t bytes : {1, 15, 16, 17, 63, 65, 100, 1000, 4095, 4097, 20'000, 32'768}) {
      std::uint32_t const index = memory::class_for<classes>(bytes, alignment);
      REQUIRE(index < classes::count);
      CHECK(classes::bytes_of(index) >= bytes);
      CHECK(classes::bytes_of(index) % alignment == 0);
    }
  }
  CHECK(memory::class_for<classes>(classes::largest + 1, 16) == classes::count);
  CHECK(memory::class_for<classes>(classes::largest - 1, 65'536) == classes::count);
}
