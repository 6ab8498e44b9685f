// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::core {

/// The element types of arrays. Values are frozen: they are stored and cross the C ABI.
enum class dtype : std::uint8_t {
  boolean = 0,
  i8 = 1,
  i16 = 2,
  i32 = 3,
  i64 = 4,
  u8 = 5,
  u16 = 6,
  u32 = 7,
  u64 = 8,
  f16 = 9,    ///< IEEE 754 binary16
  bf16 = 10,  ///< the upper half of binary32
  f32 = 11,
  f64 = 12,
};

/// The bits of a binary16 number, for code that carries them; arithmetic is the tensor kernels'.
enum class f16_bits : std::uint16_t {};
/// The bits of a bfloat16 number.
enum class bf16_bits : std::uint16_t {};

/// True for the values above, false for a number that came from elsewhere.
[[nodiscard]] MILLRACE_HD constexpr bool is_dtype(dtype type) noexcept {
  return type <= dtype::f64;
}

/// Bytes of one element, which is its alignment too; 0 for a value that is no dtype.
[[nodiscard]] MILLRACE_HD constexpr std::size_t size_bytes(dtype type) noexcept {
  switch (type) {
    case dtype::boolean:
    case dtype::i8:
    case dtype::u8: return 1;
    case dtype::i16:
    case dtype::u16:
    case dtype::f16:
    case dtype::bf16: return 2;
    case dtype::i32:
    case dtype::u32:
    case dtype::f32: return 4;
    case dtype::i64:
    case dtype::u64:
    case dtype::f64: return 8;
  }
  return 0;
}

/// "i32", "bf16" and so on, "bool" for boolean; never null.
[[nodiscard]] constexpr char const* describe(dtype type) noexcept {
  constexpr char const* names[] = {"bool", "i8",  "i16", "i32",  "i64", "u8", "u16",
                                   "u32",  "u64", "f16", "bf16", "f32", "f64"};
  return is_dtype(type) ? names[static_cast<std::size_t>(type)] : "unknown dtype";
}

/// The dtype of a C++ type; no dtype (see is_dtype) for a type that has none.
template <class T>
inline constexpr dtype dtype_of = static_cast<dtype>(255);
template <>
inline constexpr dtype dtype_of<bool> = dtype::boolean;
template <>
inline constexpr dtype dtype_of<std::int8_t> = dtype::i8;
template <>
inline constexpr dtype dtype_of<std::int16_t> = dtype::i16;
template <>
inline constexpr dtype dtype_of<std::int32_t> = dtype::i32;
template <>
inline constexpr dtype dtype_of<std::int64_t> = dtype::i64;
template <>
inline constexpr dtype dtype_of<std::uint8_t> = dtype::u8;
template <>
inline constexpr dtype dtype_of<std::uint16_t> = dtype::u16;
template <>
inline constexpr dtype dtype_of<std::uint32_t> = dtype::u32;
template <>
inline constexpr dtype dtype_of<std::uint64_t> = dtype::u64;
template <>
inline constexpr dtype dtype_of<f16_bits> = dtype::f16;
template <>
inline constexpr dtype dtype_of<bf16_bits> = dtype::bf16;
template <>
inline constexpr dtype dtype_of<float> = dtype::f32;
template <>
inline constexpr dtype dtype_of<double> = dtype::f64;

}  // namespace millrace::inline v0::core
