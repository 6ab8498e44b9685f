// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/managed_hints.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using memory::advice;
using memory::hint;
using memory::location;
using millrace::errc;

namespace {

constexpr auto invalid_value = static_cast<std::int32_t>(core::cuda_code::invalid_value);
constexpr auto invalid_device = static_cast<std::int32_t>(core::cuda_code::invalid_device);
constexpr auto no_device = static_cast<std::int32_t>(core::cuda_code::no_device);
constexpr auto illegal_address = static_cast<std::int32_t>(core::cuda_code::illegal_address);

/// A machine as a test wants it, and what was asked of its driver.
struct machine {
  std::vector<bool> concurrent{true};  // one a device
  std::int32_t answer = 0;
  std::int32_t no_driver = 0;
  bool managed = true;
  int calls = 0;
  location to{};
  advice how{};
  std::size_t ranges = 0;
  std::size_t bytes = 0;
};

struct fake_runtime {
  using stream = int;  // its device; -1 is the legacy default stream, -2 a stream that is gone
  machine* in;

  std::int32_t device_count(int& n) const noexcept {
    n = static_cast<int>(in->concurrent.size());
    return in->no_driver;
  }
  std::int32_t concurrent(int ordinal, bool& able) const noexcept {
    if (in->no_driver != 0) { return in->no_driver; }
    auto const i = static_cast<std::size_t>(ordinal);
    if (i >= in->concurrent.size()) { return invalid_device; }
    able = in->concurrent[i];
    return 0;
  }
  std::int32_t stream_device(stream s, int& ordinal) const noexcept {
    ordinal = s < 0 ? 0 : s;
    return s == -2 ? invalid_value : in->no_driver;
  }
  bool is_legacy(stream s) const noexcept { return s == -1; }
  bool is_managed(void const*) const noexcept { return in->managed; }
  std::int32_t prefetch(void const*, std::size_t n, location l, stream) const noexcept {
    return took(1, n, l);
  }
  std::int32_t advise(void const*, std::size_t n, advice a, location l) const noexcept {
    in->how = a;
    return took(1, n, l);
  }
  std::int32_t discard(void**, std::size_t* sizes, std::size_t n, stream) const noexcept {
    return took(n, sizes[0], {});
  }
  std::int32_t discard_and_prefetch(void**, std::size_t* sizes, std::size_t n, location l,
                                    stream) const noexcept {
    return took(n, sizes[0], l);
  }

 private:
  std::int32_t took(std::size_t n, std::size_t bytes, location l) const noexcept {
    ++in->calls;
    in->ranges = n;
    in->bytes = bytes;
    in->to = l;
    return in->answer;
  }
};
static_assert(memory::managed_runtime<fake_runtime>);

using hints = memory::managed_hints<fake_runtime>;

int value = 0;
void* const some = &value;

/// What each of the four hints says with good arguments.
std::vector<millrace::result<hint>> all(hints const& h, location to = location::device(0)) {
  return {h.prefetch(some, 64, to, 0), h.advise(some, 64, advice::prefer, to),
          h.discard(some, 64, 0), h.discard_and_prefetch(some, 64, to, 0)};
}

template <class R>
void refused(R const& got, int argument) {
  REQUIRE_FALSE(got);
  CHECK(got.error().code == errc::bad_argument);
  CHECK(got.error().native == argument);
}

}  // namespace

TEST_CASE("managed hints: a device that can is asked, with what was said") {
  machine m;
  hints const h(fake_runtime{&m});
  for (auto const& got : all(h)) { CHECK((got && *got == hint::asked)); }
  CHECK(m.calls == 4);
  CHECK(m.bytes == 64);
  REQUIRE(h.prefetch(some, 100, location::node(3), 0));
  CHECK(m.to == location::node(3));
  CHECK(m.bytes == 100);
  REQUIRE(h.advise(some, 5, advice::accessed_by, location::host()));
  CHECK(m.how == advice::accessed_by);
  void* pointers[] = {some, some, some};
  std::size_t sizes[] = {7, 8, 9};
  CHECK(*h.discard(pointers, sizes, 0) == hint::asked);
  CHECK(m.ranges == 3);
  CHECK(*h.discard_and_prefetch(pointers, sizes, location::host(), 0) == hint::asked);
  CHECK(m.to == location::host());
  CHECK(m.ranges == 3);
}

TEST_CASE("managed hints: without concurrent access nothing is asked, and it says so") {
  machine m;
  m.concurrent = {false};
  m.answer = invalid_device;  // what the driver would say
  hints const h(fake_runtime{&m});
  for (auto const& got : all(h)) { CHECK((got && *got == hint::nothing)); }
  CHECK(*h.prefetch(some, 64, location::host(), 0) == hint::nothing);  // the stream's device moves
  CHECK(m.calls == 0);
}

TEST_CASE("managed hints: discarding needs every device's concurrent access, moving one's") {
  machine m;
  m.concurrent = {true, false};
  hints const h(fake_runtime{&m});
  CHECK(*h.prefetch(some, 64, location::device(0), 0) == hint::asked);
  CHECK(*h.prefetch(some, 64, location::device(1), 0) == hint::nothing);
  CHECK(*h.prefetch(some, 64, location::host(), 1) == hint::nothing);
  CHECK(*h.discard(some, 64, 0) == hint::nothing);
  CHECK(*h.discard_and_prefetch(some, 64, location::device(0), 0) == hint::nothing);
  CHECK(m.calls == 1);
}

TEST_CASE("managed hints: memory that is not managed is left alone") {
  machine m;
  m.managed = false;
  m.answer = invalid_value;
  hints const h(fake_runtime{&m});
  for (auto const& got : all(h)) { CHECK((got && *got == hint::nothing)); }
  m.managed = true;  // then it is a mistake
  for (auto const& got : all(h)) {
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::bad_argument);
    CHECK(got.error().origin == core::origin::cuda);
  }
}

TEST_CASE("managed hints: what the runtime reports arrives") {
  machine m;
  m.answer = illegal_address;
  hints const h(fake_runtime{&m});
  for (auto const& got : all(h)) {
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::device_lost);
  }
  m.answer = 0;
  m.no_driver = no_device;
  for (auto const& got : all(h)) {
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::no_device);
  }
  m.no_driver = 0;
  CHECK(h.prefetch(some, 64, location::device(7), 0).error().code == errc::no_device);
  CHECK(h.advise(some, 64, advice::prefer, location::device(7)).error().code == errc::no_device);
  CHECK(h.discard_and_prefetch(some, 64, location::device(7), 0).error().code == errc::no_device);
  CHECK(h.prefetch(some, 64, location::host(), -2).error().code == errc::bad_argument);
  m.concurrent.clear();
  CHECK(*h.discard(some, 64, 0) == hint::nothing);
}

TEST_CASE("managed hints: bad input is refused with its number, before the driver is asked") {
  machine m;
  m.no_driver = illegal_address;
  hints const h(fake_runtime{&m});
  refused(h.prefetch(nullptr, 1, location::host(), 0), 1);
  refused(h.prefetch(some, 0, location::host(), 0), 2);
  refused(h.prefetch(some, 1, location::device(-1), 0), 3);
  refused(h.advise(nullptr, 1, advice::prefer, location::host()), 1);
  refused(h.advise(some, 0, advice::prefer, location::host()), 2);
  refused(h.advise(some, 1, advice::prefer, location::node(-1)), 4);
  refused(h.discard(nullptr, 1, 0), 1);
  refused(h.discard(some, 0, 0), 2);
  refused(h.discard(some, 1, -1), 3);
  refused(h.discard_and_prefetch(nullptr, 1, location::host(), 0), 1);
  refused(h.discard_and_prefetch(some, 0, location::host(), 0), 2);
  refused(h.discard_and_prefetch(some, 1, location::device(-4), 0), 3);
  refused(h.discard_and_prefetch(some, 1, location::host(), -1), 4);
  void* pointers[] = {some, nullptr};
  std::size_t sizes[] = {1, 1};
  std::size_t zeros[] = {1, 0};
  cuda::std::span<void*> const one(pointers, 1);
  refused(h.discard({}, {}, 0), 1);
  refused(h.discard(pointers, sizes, 0), 1);
  refused(h.discard(one, sizes, 0), 2);
  pointers[1] = some;
  refused(h.discard(pointers, zeros, 0), 2);
  refused(h.discard_and_prefetch(one, sizes, location::host(), 0), 2);
  CHECK(m.calls == 0);
}
