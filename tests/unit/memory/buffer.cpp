// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/counting_resource.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace memory = millrace::memory;
using memory::buffer;
using memory::buffer_ref;
using millrace::errc;

static_assert(!std::is_copy_constructible_v<buffer<int>> &&
              !std::is_copy_assignable_v<buffer<int>>);
static_assert(std::is_nothrow_move_constructible_v<buffer<int>>);
static_assert(sizeof(buffer<int>) == 3 * sizeof(void*), "a stateless resource takes no room");

namespace {
using counted = buffer<std::uint32_t, memory::counting_resource<>>;

bool refused(millrace::result<counted> const& made, int argument) {
  return !made && made.error().code == errc::bad_argument && made.error().native == argument;
}
}  // namespace

TEST_CASE("buffer: holds its elements and gives its memory back") {
  memory::allocation_counts counts;
  {
    auto made = counted::make(10, memory::counting_resource<>(counts));
    REQUIRE(made);
    CHECK(made->size() == 10);
    CHECK(made->size_bytes() == 40);
    CHECK(counts.live_bytes == 40);
    for (std::size_t i = 0; i < 10; ++i) { (*made)[i] = static_cast<std::uint32_t>(i * i); }
    buffer_ref<std::uint32_t> const ref = made->ref();
    CHECK(ref[9] == 81);
    CHECK(ref.size() == 10);
    CHECK(made->span()[3] == 9);
  }
  CHECK(counts.live == 0);
  CHECK(counts.live_bytes == 0);
}

TEST_CASE("buffer: zeroed on request") {
  auto const made = buffer<double>::make_zeroed(1000);
  REQUIRE(made);
  CHECK(std::all_of(made->ref().begin(), made->ref().end(), [](double d) { return d == 0; }));
}

TEST_CASE("buffer: moves leave nothing behind and free once") {
  memory::allocation_counts counts;
  {
    memory::counting_resource<> const from(counts);
    auto a = counted::make(4, from);
    auto b = counted::make(8, from);
    REQUIRE(a);
    REQUIRE(b);
    counted c(std::move(*a));
    CHECK(a->empty());
    CHECK(a->data() == nullptr);
    CHECK(c.size() == 4);
    c = std::move(*b);
    CHECK(c.size() == 8);
    CHECK(counts.live == 1);
    auto* const same = &c;
    c = std::move(*same);
    CHECK(c.size() == 8);
    CHECK(counts.live == 1);
  }
  CHECK(counts.live == 0);
  buffer<int> none;
  CHECK(none.empty());
  CHECK(none.span().empty());
}

TEST_CASE("buffer: takes a wider alignment than its element's") {
  auto const made = buffer<std::uint8_t>::make(3, {}, 4096);
  REQUIRE(made);
  CHECK(reinterpret_cast<std::uintptr_t>(made->data()) % 4096 == 0);
}

TEST_CASE("buffer: bad input is a result, and nothing stays allocated") {
  memory::allocation_counts counts;
  memory::counting_resource<> const from(counts);
  CHECK(refused(counted::make(0, from), 1));
  CHECK(refused(counted::make(1, from, 0), 3));
  CHECK(refused(counted::make(1, from, 2), 3));
  CHECK(refused(counted::make(1, from, 24), 3));
  CHECK(refused(counted::make(1, from, std::size_t{1} << 40), 3));
  auto const huge = counted::make(std::numeric_limits<std::size_t>::max() / 2, from);
  REQUIRE_FALSE(huge);
  CHECK(huge.error().code == errc::out_of_memory);
  CHECK(counts.total == 0);
}
