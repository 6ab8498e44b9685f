// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/key.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta::detail {

/// What is sorted: a key and what goes with it, the value itself or the row's number.
template <class K, class Tag>
struct sort_item {
  K key;
  Tag tag;
};

/// Stable sorting of items by key, with as many more items of room.
///
/// By digits, in three ways. More items than a cache holds are dealt to piles by their highest
/// digit, and each pile is sorted by itself. A pile within the cache is sorted from its lowest
/// digit up, but only by as many of the highest bits as nearly tell its items apart; the few that
/// are alike in those are then put in order among themselves. Some twenty items are sorted by
/// insertion. Digits that all items share cost nothing: bits are counted from the highest that
/// varies.
/// @source Knuth, "The Art of Computer Programming", vol. 3, 5.2.5; Davis, "A fast radix sort",
/// 1992
template <class Item>
class radix_sorter {
  using key_type = decltype(Item::key);

 public:
  /// Sorts `items`, and says where they are: in `items` or in `room`.
  [[nodiscard]] static Item* sort(Item* items, Item* room, std::size_t size) noexcept {
    return sort_to(items, room, size, place::any) ? room : items;
  }

  /// Items of which two copies stay in a core's second-level cache.
  static constexpr std::size_t cached = (std::size_t{384} << 10) / sizeof(Item);
  /// Piles are no more than a processor has pages at hand.
  static constexpr int most_pile_bits = 10;
  /// Bits of the digit by which so many items are dealt to piles that a cache holds.
  [[nodiscard]] static constexpr int pile_bits(std::size_t size) noexcept {
    return std::min(most_pile_bits, 2 + static_cast<int>(std::bit_width(size / cached)));
  }

 private:
  enum class place : std::uint8_t { items, room, any };
  static constexpr std::size_t few = 24;
  static constexpr int most_digits = 8;
  static constexpr std::size_t most_values = 1024;

  /// @return whether the sorted items are in `room`, as `where` asked
  static bool sort_to(Item* items, Item* room, std::size_t size, place where) noexcept {
    if (size <= few) {
      insert(items, size);
      return moved(items, room, size, where == place::room);
    }
    key_type varying = 0;
    for (std::size_t i = 0; i < size; ++i) {
      varying = static_cast<key_type>(varying | (items[i].key ^ items[0].key));
    }
    int const bits = static_cast<int>(std::bit_width(varying));
    if (size > cached && bits > 8) {
      deal(items, room, size, bits - std::min(bits, pile_bits(size)), where != place::items);
      return where != place::items;
    }
    return by_lowest_digits(items, room, size, varying, bits, where);
  }

  static bool moved(Item const* items, Item* room, std::size_t size, bool move) noexcept {
    if (move && size != 0) { std::memcpy(static_cast<void*>(room), items, size * sizeof(Item)); }
    return move;
  }

  static void insert(Item* items, std::size_t size) noexcept {
    for (std::size_t i = 1; i < size; ++i) {
      Item const item = items[i];
      std::size_t at = i;
      for (; at > 0 && items[at - 1].key > item.key; --at) { items[at] = items[at - 1]; }
      items[at] = item;
    }
  }

  /// Deals to piles in `room` and sorts each, into `room` or back into `items`.
  static void deal(Item* items, Item* room, std::size_t size, int shift, bool stay) noexcept {
    constexpr std::size_t mask = (std::size_t{1} << most_pile_bits) - 1;
    std::size_t ends[mask + 1] = {};
    for (std::size_t i = 0; i < size; ++i) { ++ends[digit(items[i], shift, mask)]; }
    std::size_t before = 0;
    for (std::size_t& end : ends) { before += std::exchange(end, before); }
    for (std::size_t i = 0; i < size; ++i) {
      room[ends[digit(items[i], shift, mask)]++] = items[i];
    }
    std::size_t begin = 0;
    for (std::size_t const end : ends) {
      static_cast<void>(
          sort_to(room + begin, items + begin, end - begin, stay ? place::items : place::room));
      begin = end;
    }
  }

  static bool by_lowest_digits(Item* items, Item* room, std::size_t size, key_type varying,
                               int bits, place where) noexcept {
    // Of the highest bits, as many that chance leaves few pairs alike.
    int const wanted = std::min(bits, static_cast<int>(std::bit_width(size)) + 5);
    int const widest = size < 2048 ? 8 : 10;
    int const digits = (wanted + widest - 1) / widest;
    int const width = digits == 0 ? 1 : (wanted + digits - 1) / digits;
    int const low = std::max(0, bits - digits * width);
    std::size_t const mask = (std::size_t{1} << width) - 1;
    std::uint32_t counts[most_digits][most_values];
    for (int d = 0; d < digits; ++d) {
      std::memset(counts[d], 0, (mask + 1) * sizeof(counts[d][0]));
    }
    for (std::size_t i = 0; i < size; ++i) {
      for (int d = 0; d < digits; ++d) { ++counts[d][digit(items[i], low + d * width, mask)]; }
    }
    Item* from = items;
    Item* to = room;
    for (int d = 0; d < digits; ++d) {
      int const shift = low + d * width;
      if (((varying >> shift) & mask) == 0) { continue; }
      std::uint32_t before = 0;
      for (std::size_t v = 0; v <= mask; ++v) { before += std::exchange(counts[d][v], before); }
      for (std::size_t i = 0; i < size; ++i) {
        to[counts[d][digit(from[i], shift, mask)]++] = from[i];
      }
      std::swap(from, to);
    }
    if (low > 0) { sort_alike(from, to, size, low); }
    bool const in_room = from == room;
    if (where == place::any || in_room == (where == place::room)) { return in_room; }
    static_cast<void>(moved(from, to, size, true));
    return !in_room;
  }

  /// Puts neighbours that are alike above their `low` lowest bits in order.
  static void sort_alike(Item* items, Item* room, std::size_t size, int low) noexcept {
    for (std::size_t begin = 0; begin + 1 < size;) {
      if ((items[begin].key ^ items[begin + 1].key) >> low != 0) {
        ++begin;
        continue;
      }
      std::size_t end = begin + 2;
      while (end < size && (items[begin].key ^ items[end].key) >> low == 0) { ++end; }
      static_cast<void>(sort_to(items + begin, room + begin, end - begin, place::items));
      begin = end;
    }
  }

  [[nodiscard]] static std::size_t digit(Item const& item, int shift, std::size_t mask) noexcept {
    return static_cast<std::size_t>(item.key >> shift) & mask;
  }
};

}  // namespace millrace::inline v0::delta::detail
