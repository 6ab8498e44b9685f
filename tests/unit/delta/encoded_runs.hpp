// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/encode_run.hpp>
#include <millrace/delta/raw_run.hpp>
#include <millrace/memory/buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

namespace millrace_test {

using millrace::errc;
using millrace::error;
using millrace::result;

/// A struct column: 12 bytes that no dtype names.
struct quote {
  std::uint32_t price;
  std::uint32_t size;
  std::uint16_t venue;
  std::uint16_t flags;
};

/// Bytes of exactly their number, 64-byte aligned: sanitizers see one too much.
class exact_bytes {
 public:
  exact_bytes() = default;
  explicit exact_bytes(std::size_t size) : size_(size) {
    auto made = millrace::memory::buffer<std::byte>::make(std::max<std::size_t>(size, 1), {}, 64);
    held_ = millrace::core::value_or_throw(std::move(made));
  }
  explicit exact_bytes(cuda::std::span<std::byte const> from) : exact_bytes(from.size()) {
    if (!from.empty()) { std::memcpy(held_.data(), from.data(), from.size()); }
  }
  [[nodiscard]] cuda::std::span<std::byte> span() const { return {held_.data(), size_}; }
  [[nodiscard]] cuda::std::span<std::byte const> bytes() const { return {held_.data(), size_}; }
  [[nodiscard]] std::byte& operator[](std::size_t i) const { return held_.data()[i]; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] exact_bytes first(std::size_t size) const {
    return exact_bytes(bytes().subspan(0, size));
  }

 private:
  millrace::memory::buffer<std::byte> held_{};
  std::size_t size_ = 0;
};

/// How keys follow each other.
enum class gaps { dense, geometric, wide, wild };

template <class K>
[[nodiscard]] std::vector<K> keys_of(std::size_t count, gaps how, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::geometric_distribution<std::uint32_t> few(0.1);
  std::vector<K> keys;
  if (how == gaps::wild) {  // anywhere, the largest key among them
    std::vector<K> all(count);
    for (K& each : all) { each = static_cast<K>(random()); }
    all.push_back(static_cast<K>(~K{0}));
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(std::min(count, all.size())));
    return all;
  }
  K next = static_cast<K>(random() % 1000);
  for (std::size_t i = 0; i < count; ++i) {
    keys.push_back(next);
    next = static_cast<K>(next + 1);
    if (how == gaps::geometric) { next = static_cast<K>(next + few(random)); }
    if (how == gaps::wide) {
      next = static_cast<K>(next + random() % (static_cast<K>(~K{0}) / (count + 1) / 2 + 1));
    }
  }
  return keys;
}

template <class V>
[[nodiscard]] std::vector<V> values_of(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<V> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    if constexpr (std::is_floating_point_v<V>) {
      values[i] = static_cast<V>(static_cast<double>(random() % 100'000) / 100);
    } else if constexpr (std::is_integral_v<V>) {
      values[i] = static_cast<V>(random() % 3 == 0 ? random() : i);
    } else {
      std::uint64_t const bits = random();
      std::memcpy(static_cast<void*>(&values[i]), &bits, std::min(sizeof bits, sizeof(V)));
    }
  }
  return values;
}

/// An owner of rows of these types.
template <class K, class... Vs>
[[nodiscard]] millrace::delta::change_set<K, Vs...> rows_of(std::size_t count, gaps how,
                                                            std::uint64_t seed) {
  auto const keys = keys_of<K>(count, how, seed);
  millrace::delta::change_set_ref<K> const only(keys.data(), keys.size());
  return [&]<class... Columns>(Columns const&... columns) {
    return millrace::core::value_or_throw(millrace::delta::change_set<K, Vs...>::make(
        millrace::delta::change_set_ref<K, Vs...>(keys.data(), keys.size(), columns.data()...)));
  }(values_of<Vs>(keys.size(), seed)...);
}

template <class K, class... Vs>
[[nodiscard]] exact_bytes encoded(millrace::delta::change_set_ref<K, Vs...> rows,
                                  millrace::core::isa which = millrace::core::best_isa()) {
  exact_bytes room(millrace::delta::max_encoded_bytes<K, Vs...>(rows.size()));
  return room.first(
      millrace::core::value_or_throw(millrace::delta::encode(rows, room.span(), which)));
}

template <class K, class... Vs>
[[nodiscard]] exact_bytes encoded_raw(millrace::delta::change_set_ref<K, Vs...> rows) {
  exact_bytes room(millrace::delta::raw_bytes<K, Vs...>(rows.size()));
  return room.first(millrace::core::value_or_throw(millrace::delta::encode_raw(rows, room.span())));
}

/// A sink that keeps what it gets, and fails when it is told to.
struct bytes_sink {
  std::vector<std::byte>* to = nullptr;
  std::size_t limit = ~std::size_t{0};

  [[nodiscard]] result<void> write(cuda::std::span<std::byte const> bytes) noexcept {
    if (to->size() + bytes.size() > limit) {
      return millrace::core::fail(errc::native_failure, millrace::core::origin::posix, 28);
    }
    to->insert(to->end(), bytes.begin(), bytes.end());
    return {};
  }
};

}  // namespace millrace_test
