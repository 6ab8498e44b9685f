// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/cuda_status.hpp>

#include <doctest/doctest.h>

namespace core = millrace::core;
using core::cuda_severity;
using millrace::errc;

TEST_CASE("cuda_status: success is no error") {
  CHECK(core::classify_cuda(0) == cuda_severity::ok);
  CHECK(core::cuda_result(0));
  CHECK(core::cuda_error(0) == millrace::error{});
}

TEST_CASE("cuda_status: what ends the context is sticky, and the device is lost") {
  for (int const status :
       {4, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911, 999}) {
    CHECK(core::classify_cuda(status) == cuda_severity::sticky);
    auto const failed = core::cuda_result(status);
    REQUIRE_FALSE(failed);
    CHECK(failed.error() == millrace::error{errc::device_lost, core::origin::cuda, status});
  }
}

TEST_CASE("cuda_status: a call that failed by itself keeps its nearest code and its number") {
  struct row {
    int status;
    errc code;
  };
  row const rows[] = {
      {1, errc::bad_argument},     {2, errc::out_of_memory},       {3, errc::no_device},
      {34, errc::no_device},       {35, errc::no_device},          {46, errc::busy},
      {100, errc::no_device},      {101, errc::no_device},         {209, errc::not_compiled},
      {600, errc::not_ready},      {720, errc::not_co_resident},   {701, errc::native_failure},
      {801, errc::native_failure}, {10'000, errc::native_failure}, {-5, errc::native_failure}};
  for (row const& r : rows) {
    CHECK(core::classify_cuda(r.status) == cuda_severity::recoverable);
    CHECK(core::cuda_error(r.status) == millrace::error{r.code, core::origin::cuda, r.status});
  }
}
