// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/encode_run.hpp>
#include <millrace/delta/read_run.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/version.hpp>

#include <cuda/std/span>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

/// \file
/// What a commit has written, as bytes: for each type of value one packed run (delta/run_format) of
/// names, ascending, and values. A run says itself what types it has and where it ends, so a record
/// is one run behind the other. A bool stands in it as a byte of 0 or 1.

namespace millrace::inline v0::propagate::detail {

template <class T>
struct bytes_of {
  unsigned char bytes[sizeof(T)];
};
template <class T>
constexpr bool are_known(bytes_of<T> of) noexcept {
  unsigned all = 0;
  for (unsigned char each : of.bytes) { all |= each; }
  return all <= 0xFF;
}
/// No byte of a T is padding, which has whatever was in its memory before. Of structs that hold
/// floating-point numbers it is the constant evaluation that tells: no constant has a byte that is
/// not known.
template <class T>
concept unpadded = std::has_unique_object_representations_v<T> || requires {
  typename std::bool_constant<are_known<T>(__builtin_bit_cast(bytes_of<T>, T{}))>;
};

template <class T>
concept recordable_value = delta::run_value<T> && unpadded<T>;
template <class T>
inline constexpr bool is_recordable = std::is_same_v<T, bool> || recordable_value<T>;
template <class T>
using recorded_as = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;

/// A row of a record that is being read.
struct record_row {
  std::uint64_t name;
  delta::column_type type;
  void const* value;  ///< of that type
};
/// Takes a row.
struct record_reader {
  void* to;
  error (*take)(void* to, record_row const& row) noexcept;
};

/// How values of one type stand in records.
struct record_type {
  delta::column_type column;
  /// Copies a version's value to where a run's column has it, and back.
  void (*load)(void const* value, void* to) noexcept;
  void (*store)(void const* from, void* value) noexcept;
  /// Bytes that encode may write.
  std::uint64_t (*most_bytes)(std::uint64_t rows) noexcept;
  /// @return bytes written
  result<std::uint64_t> (*encode)(std::uint64_t const* names, void const* values, std::size_t rows,
                                  cuda::std::span<std::byte> out) noexcept;
  /// Reads one run; what follows it is left in the source.
  error (*decode)(delta::span_source& from, record_reader reader) noexcept;
};

template <class T>
error decode_record_run(delta::span_source& from, record_reader reader) noexcept {
  using V = recorded_as<T>;
  auto run = delta::run_decoder<delta::span_source, std::uint64_t, V>::make(from);
  if (!run) { return run.error(); }
  auto rows = memory::buffer<std::uint64_t>::make(delta::block_rows);
  if (!rows) { return rows.error(); }
  auto values = memory::buffer<V>::make(delta::block_rows);
  if (!values) { return values.error(); }
  delta::change_space<std::uint64_t, V> const room(rows->data(), delta::block_rows, values->data());
  for (;;) {
    auto const got = run->next(room);
    if (!got) { return got.error(); }
    if (*got == 0) { break; }
    for (std::uint32_t i = 0; i < *got; ++i) {
      error const why =
          reader.take(reader.to, {(*rows)[i], delta::column_type_of<V>, &(*values)[i]});
      if (why.code != errc::ok) { return why; }
    }
  }
  from = run->source();
  return {};
}

template <class T>
inline constexpr record_type record_of = {
    .column = delta::column_type_of<recorded_as<T>>,
    .load =
        [](void const* value, void* to) noexcept {
          auto const as = static_cast<recorded_as<T>>(*static_cast<T const*>(value));
          std::memcpy(to, &as, sizeof as);
        },
    .store =
        [](void const* from, void* value) noexcept {
          recorded_as<T> as;
          std::memcpy(&as, from, sizeof as);
          *static_cast<T*>(value) = static_cast<T>(as);
        },
    .most_bytes = [](std::uint64_t rows) noexcept -> std::uint64_t {
      return delta::max_encoded_bytes<std::uint64_t, recorded_as<T>>(rows);
    },
    .encode =
        [](std::uint64_t const* names, void const* values, std::size_t rows,
           cuda::std::span<std::byte> out) noexcept {
          return delta::encode(delta::change_set_ref<std::uint64_t, recorded_as<T>>(
                                   names, rows, static_cast<recorded_as<T> const*>(values)),
                               out);
        },
    .decode = decode_record_run<T>};

/// A cell's value that goes into a record.
struct recorded {
  record_type const* type;
  std::uint64_t name;
  void const* value;

  [[nodiscard]] std::uint32_t type_code() const noexcept {
    return std::uint32_t{type->column.code} << 16 | type->column.bytes;
  }
};

/// Makes records.
template <memory::host_accessible_resource R>
class record_writer {
 public:
  explicit record_writer(R from) noexcept
      : rows_{from}, names_{from}, values_{from}, bytes_{from} {}

  /// One more value of the record; each cell once.
  /// @error errc::out_of_memory; what has been added is forgotten
  [[nodiscard]] result<void> add(recorded const& row) noexcept {
    auto const room = rows_.try_push(row);
    if (!room) { rows_.clear(); }
    return room;
  }
  /// The record of what has been added since the one before, which it takes the place of.
  /// @error errc::out_of_memory
  [[nodiscard]] result<cuda::std::span<std::byte const>> finish() noexcept {
    bytes_.clear();
    std::sort(rows_.begin(), rows_.end(), [](recorded const& a, recorded const& b) {
      return a.type_code() != b.type_code() ? a.type_code() < b.type_code() : a.name < b.name;
    });
    result<void> done{};
    for (std::uint32_t i = 0, end = 0; done && i < rows_.size(); i = end) {
      while (end < rows_.size() && rows_[end].type_code() == rows_[i].type_code()) { ++end; }
      done = add_run(i, end);
    }
    rows_.clear();
    if (!done) { return cuda::std::unexpected<error>(done.error()); }
    return cuda::std::span<std::byte const>(bytes_.data(), bytes_.size());
  }

 private:
  [[nodiscard]] result<void> add_run(std::uint32_t begin, std::uint32_t end) noexcept {
    record_type const& type = *rows_[begin].type;
    std::uint32_t const count = end - begin;
    std::size_t const size = type.column.bytes;
    std::uint64_t const most = type.most_bytes(count);
    if (most > ~std::uint32_t{0} - bytes_.size() || count * size > ~std::uint32_t{0}) {
      return core::fail(errc::out_of_memory);
    }
    auto const room = bytes_.reserve(bytes_.size() + static_cast<std::uint32_t>(most));
    if (!room) { return room; }
    // values in whole 64 bytes, so that they are aligned as any column's
    std::uint32_t const lines = static_cast<std::uint32_t>((count * size + 63) / 64);
    if (auto const r = values_.reserve(lines); !r) { return r; }
    if (auto const r = names_.reserve(count); !r) { return r; }
    names_.clear();
    auto* const values = reinterpret_cast<std::byte*>(values_.data());
    for (std::uint32_t k = 0; k < count; ++k) {
      recorded const& row = rows_[begin + k];
      names_.push(row.name);
      row.type->load(row.value, values + k * size);
    }
    auto const written =
        type.encode(names_.data(), values, count, {bytes_.data() + bytes_.size(), most});
    if (!written) { return cuda::std::unexpected<error>(written.error()); }
    bytes_.extend(static_cast<std::uint32_t>(*written));
    return {};
  }

  struct alignas(64) line {
    std::byte bytes[64];
  };
  column<recorded, R> rows_;
  column<std::uint64_t, R> names_;
  column<line, R> values_;
  column<std::byte, R> bytes_;
};

/// Reads a record, a run at a time, by the first of `types` that has its header.
/// @error errc::corrupt, errc::unsupported_version as delta::run_decoder; errc::layout_mismatch: a
///        run of a type that is none of them; what the reader returns
template <class Types>
[[nodiscard]] error read_record(cuda::std::span<std::byte const> bytes, Types const& types,
                                record_reader reader) noexcept {
  delta::span_source from(bytes);
  while (!from.rest().empty()) {
    auto const header = delta::read_header(from.rest());
    if (!header) { return header.error(); }
    record_type const* type = nullptr;
    for (record_type const* each : types) {
      if (header->columns == 1 && header->column[0] == each->column) { type = each; }
    }
    if (type == nullptr) { return {errc::layout_mismatch, {}, 0}; }
    if (error const why = type->decode(from, reader); why.code != errc::ok) { return why; }
  }
  return {};
}

}  // namespace millrace::inline v0::propagate::detail
