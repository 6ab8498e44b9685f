// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/error.hpp>
#include <millrace/core/version.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace core = millrace::core;
using millrace::errc;
using millrace::error;
using millrace::result;

static_assert(std::is_trivially_copyable_v<error>);
static_assert(std::is_trivially_copyable_v<result<std::uint32_t>>);

TEST_CASE("errc: the codes on the wire are frozen") {
  CHECK(static_cast<int>(errc::bad_argument) == 1);
  CHECK(static_cast<int>(errc::device_lost) == 13);
  CHECK(static_cast<int>(errc::exhausted) == 16);
  CHECK(static_cast<int>(errc::fenced) == 17);
  CHECK(static_cast<int>(errc::duplicate) == 18);
  CHECK(static_cast<int>(errc::corrupt) == 19);
  CHECK(static_cast<int>(errc::unsupported_version) == 20);
  CHECK(static_cast<int>(errc::cycle) == 21);
  CHECK(static_cast<int>(errc::function_failed) == 22);
  CHECK(static_cast<int>(errc::conflict) == 23);
  CHECK(static_cast<int>(errc::released) == 24);
}

TEST_CASE("errc: every code and origin has words of its own") {
  for (std::uint16_t i = 0; i <= 22; ++i) {
    CHECK(std::string_view(core::describe(static_cast<errc>(i))) != "unknown error code");
  }
  for (std::uint16_t i = 0; i <= 5; ++i) {
    CHECK(std::string_view(core::describe(static_cast<core::origin>(i))) != "unknown origin");
  }
  CHECK(std::string_view(core::describe(static_cast<errc>(999))) == "unknown error code");
}

TEST_CASE("describe: an error's line holds the code's words and the native status") {
  auto const text = core::describe(error{errc::native_failure, core::origin::posix, ENOENT});
  CHECK(text.find("No such file") != std::string::npos);
  CHECK(core::describe(error{errc::device_lost, core::origin::cuda, 700}).find("CUDA 700") !=
        std::string::npos);
  CHECK(core::describe(error{errc::full}) == core::describe(errc::full));
  auto const damaged = core::describe(error{errc::corrupt, core::origin::millrace, 24});
  CHECK(damaged.starts_with(core::describe(errc::corrupt)));
  CHECK(damaged.ends_with(" at byte 24"));
}

TEST_CASE("value_or_throw: gives the value or throws the words") {
  CHECK(core::value_or_throw(result<int>(3)) == 3);
  CHECK_NOTHROW(core::value_or_throw(result<void>{}));
  result<int> const bad = core::fail(errc::closed);
  CHECK_THROWS_WITH_AS(static_cast<void>(core::value_or_throw(bad)), core::describe(errc::closed),
                       std::runtime_error);
}
