// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/backend.hpp>

#include <doctest/doctest.h>

#include <type_traits>

namespace core = millrace::core;
using core::backend;

static_assert(std::is_trivially_copyable_v<backend>);

TEST_CASE("backend: says what it is") {
  CHECK(backend().kind() == core::backend_kind::automatic);
  CHECK(core::describe(backend::automatic()) == "automatic");
  CHECK(core::describe(backend::host()) == "host threads");
  CHECK(core::describe(backend::cuda(2)) == "CUDA device 2");
  CHECK(backend::cuda(2).ordinal() == 2);
  CHECK(backend::cuda(1) != backend::cuda(2));
  CHECK(backend::host() != backend::automatic());
}

TEST_CASE("parse_backend: reads what the command lines admit") {
  CHECK(core::parse_backend("auto") == backend::automatic());
  CHECK(core::parse_backend("host") == backend::host());
  CHECK(core::parse_backend("cuda") == backend::cuda(0));
  CHECK(core::parse_backend("cuda:0") == backend::cuda(0));
  CHECK(core::parse_backend("cuda:15") == backend::cuda(15));
}

TEST_CASE("parse_backend: refuses everything else") {
  for (char const* text : {"", "gpu", "Host", "cuda:", "cuda:-1", "cuda:-0", "cuda:1x", "cuda: 1",
                           "cuda:+1", "cuda:99999999999", "host ", "automatic"}) {
    auto const read = core::parse_backend(text);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == millrace::errc::bad_argument);
  }
}
