// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/array_view.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace core = millrace::core;
using core::array_view;
using core::const_array_view;
using core::dtype;
using millrace::errc;

namespace {
using list = std::vector<std::int64_t>;
constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

template <class View = array_view, class Data>
auto make(Data* data, dtype type, list const& extents) {
  return View::make(data, type, {extents.data(), extents.size()});
}
template <class View = array_view, class Data>
auto make(Data* data, dtype type, list const& extents, list const& strides) {
  return View::make(data, type, {extents.data(), extents.size()}, {strides.data(), strides.size()});
}
template <class R>
bool refused(R const& made, int argument) {
  return !made && made.error().code == errc::bad_argument && made.error().native == argument;
}
}  // namespace

TEST_CASE("dtype: sizes, names and C++ types agree") {
  CHECK(core::size_bytes(core::dtype_of<double>) == sizeof(double));
  CHECK(core::size_bytes(core::dtype_of<bool>) == 1);
  CHECK(core::dtype_of<core::bf16_bits> == dtype::bf16);
  CHECK(std::string_view(core::describe(dtype::f16)) == "f16");
  CHECK(std::string_view(core::describe(dtype::f64)) == "f64");
  CHECK_FALSE(core::is_dtype(core::dtype_of<std::string_view>));
  CHECK(core::size_bytes(static_cast<dtype>(200)) == 0);
  for (int i = 0; i <= 12; ++i) { CHECK(core::size_bytes(static_cast<dtype>(i)) > 0); }
}

TEST_CASE("array_view: a dense array is row-major and contiguous") {
  std::int32_t data[24];
  for (int i = 0; i < 24; ++i) { data[i] = i; }
  auto const v = make(data, dtype::i32, {2, 3, 4});
  REQUIRE(v);
  CHECK(v->rank() == 3);
  CHECK(v->count() == 24);
  CHECK(v->element_bytes() == 96);
  CHECK(v->contiguous());
  CHECK(v->strides()[0] == 48);
  CHECK(v->strides()[2] == 4);
  CHECK(v->at<std::int32_t>(1, 2, 3) == 23);
  v->at<std::int32_t>(0, 0, 1) = 77;
  CHECK(data[1] == 77);
  auto const span = v->as<std::int32_t>();
  REQUIRE(span);
  CHECK(span->size() == 24);
  auto const bytes = v->bytes();
  REQUIRE(bytes);
  CHECK(bytes->size() == 96);
  CHECK(v->as<float>().error().code == errc::bad_argument);
}

TEST_CASE("array_view: rank 0 is one element, an extent of 0 is none") {
  double one = 2.5;
  auto const scalar = make(&one, dtype::f64, {});
  REQUIRE(scalar);
  CHECK(scalar->count() == 1);
  CHECK(scalar->at<double>() == 2.5);
  auto const none = make(static_cast<double*>(nullptr), dtype::f64, {3, 0, most});
  REQUIRE(none);
  CHECK(none->count() == 0);
  CHECK(none->contiguous());
  CHECK(none->bytes()->empty());
  CHECK(array_view().count() == 0);
}

TEST_CASE("array_view: bad input is refused by the number of the argument") {
  alignas(8) std::byte data[64] = {};
  CHECK(refused(make(static_cast<std::byte*>(nullptr), dtype::u8, {1}), 1));
  CHECK(refused(make(data + 1, dtype::f64, {1}), 1));
  CHECK(refused(make(data, static_cast<dtype>(13), {1}), 2));
  CHECK(refused(make(data, dtype::u8, {1, 1, 1, 1, 1, 1, 1, 1, 1}), 3));
  CHECK(refused(make(data, dtype::u8, {-1}), 3));
  CHECK(refused(make(data, dtype::u8, {0, -1}), 3));
  CHECK(refused(make(data, dtype::f64, {most}), 3));
  CHECK(refused(make(data, dtype::u8, {most, most}), 3));
  CHECK(refused(make(data, dtype::u8, {std::int64_t{1} << 32, std::int64_t{1} << 32}), 3));
  CHECK(refused(make(data, dtype::f64, {2}, {8, 8}), 4));
  CHECK(refused(make(data, dtype::f64, {2}, {12}), 4));
  CHECK(refused(make(data, dtype::u8, {2}, {std::numeric_limits<std::int64_t>::min()}), 4));
  CHECK(refused(make(data, dtype::u8, {3}, {most}), 3));
}

TEST_CASE("array_view: elements that overlap may be read, not written") {
  float data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  CHECK(refused(make(data, dtype::f32, {4, 2}, {4, 4}), 4));
  CHECK(refused(make(data, dtype::f32, {4}, {0}), 4));
  auto const repeated = make<const_array_view>(data, dtype::f32, {3, 2}, {0, 4});
  REQUIRE(repeated);
  CHECK(repeated->at<float>(2, 1) == 2);
  CHECK_FALSE(repeated->contiguous());
  CHECK(make(data, dtype::f32, {2, 4}, {4, 8}));
  CHECK(make(data, dtype::f32, {1, 2}, {0, 4}));
}

TEST_CASE("array_view: a transpose is strided, and its bytes are refused") {
  std::int16_t data[6] = {0, 1, 2, 3, 4, 5};
  auto const t = make(data, dtype::i16, {3, 2}, {2, 6});
  REQUIRE(t);
  CHECK(t->at<std::int16_t>(2, 1) == 5);
  CHECK(t->at<std::int16_t>(1, 0) == 1);
  CHECK_FALSE(t->contiguous());
  CHECK(t->bytes().error().code == errc::layout_mismatch);
  CHECK(t->as<std::int16_t>().error().code == errc::layout_mismatch);
}

TEST_CASE("array_view: slices keep every step-th element, forwards and backwards") {
  std::int32_t data[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  auto const v = make(data, dtype::i32, {10});
  REQUIRE(v);
  auto const odd = v->slice(0, 1, 10, 2);
  REQUIRE(odd);
  CHECK(odd->count() == 5);
  CHECK(odd->at<std::int32_t>(4) == 9);
  auto const back = v->slice(0, 9, -1, -3);
  REQUIRE(back);
  CHECK(back->count() == 4);
  CHECK(back->at<std::int32_t>(0) == 9);
  CHECK(back->at<std::int32_t>(3) == 0);
  auto const twice = back->slice(0, 1, 3);
  REQUIRE(twice);
  CHECK(twice->at<std::int32_t>(1) == 3);
  CHECK(v->slice(0, 4, 4)->count() == 0);
  CHECK(v->slice(0, 10, 10)->count() == 0);
  CHECK(v->slice(0, 2, 10, most)->count() == 1);
  CHECK(refused(v->slice(1, 0, 1), 1));
  CHECK(refused(v->slice(0, 0, 11), 2));
  CHECK(refused(v->slice(0, -1, 5), 2));
  CHECK(refused(v->slice(0, 10, 0, -1), 2));
  CHECK(refused(v->slice(0, 0, 5, 0), 4));
  CHECK(refused(v->slice(0, 5, 0), 4));
  CHECK(refused(v->slice(0, 5, 0, std::numeric_limits<std::int64_t>::min()), 4));
}

TEST_CASE("array_view: select takes an axis away") {
  std::int32_t data[6] = {0, 1, 2, 3, 4, 5};
  auto const v = make(data, dtype::i32, {2, 3});
  REQUIRE(v);
  auto const column = v->select(1, 2);
  REQUIRE(column);
  CHECK(column->rank() == 1);
  CHECK(column->at<std::int32_t>(1) == 5);
  auto const row = v->select(0, 1);
  REQUIRE(row);
  CHECK(row->contiguous());
  CHECK((*row->as<std::int32_t>())[0] == 3);
  CHECK(row->select(0, 0)->rank() == 0);
  CHECK(refused(v->select(2, 0), 1));
  CHECK(refused(v->select(0, 2), 2));
  CHECK(refused(v->select(0, -1), 2));
}

TEST_CASE("array_view: a writable view becomes a reading one") {
  std::uint8_t data[4] = {1, 2, 3, 4};
  auto const v = array_view::over(cuda::std::span<std::uint8_t>(data));
  const_array_view const r = v;
  CHECK(r.count() == 4);
  CHECK(r.at<std::uint8_t>(3) == 4);
  CHECK(r.type() == dtype::u8);
  static_assert(!std::is_convertible_v<const_array_view, array_view>);
  auto const c = const_array_view::over(cuda::std::span<std::uint8_t const>(data));
  CHECK(c.as<std::uint8_t>()->size() == 4);
}
