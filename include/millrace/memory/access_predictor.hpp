// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// Bytes of a memory, by their place in it.
struct byte_range {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;

  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t end() const noexcept { return offset + bytes; }
  [[nodiscard]] MILLRACE_HD constexpr bool overlaps(byte_range other) const noexcept {
    return offset < other.end() && other.offset < end();
  }
  [[nodiscard]] MILLRACE_HD constexpr bool covers(byte_range other) const noexcept {
    return offset <= other.offset && other.end() <= end();
  }
  /// What is left without the bytes that `other` has too; the part before it where that would be
  /// two.
  [[nodiscard]] MILLRACE_HD constexpr byte_range without(byte_range other) const noexcept {
    if (!overlaps(other)) { return *this; }
    if (offset < other.offset) { return {offset, other.offset - offset}; }
    return other.end() < end() ? byte_range{other.end(), end() - other.end()}
                               : byte_range{offset, 0};
  }
  [[nodiscard]] friend MILLRACE_HD constexpr bool operator==(byte_range a, byte_range b) noexcept {
    return a.offset == b.offset && a.bytes == b.bytes;
  }
};

/// The one step that came after a context last.
struct successor {
  std::uint64_t context = 0;  ///< 0: nothing here
  std::int64_t step = 0;
  std::uint64_t bytes = 0;
  bool trusted = false;  ///< new or right since its set was last full
};

/// What followed what: for each context, a word, the one step that came after it last. A set of
/// eight entries that is full forgets one that was not right of late. No allocation; one size.
/// @cost eight comparisons
template <std::size_t Entries>
class successor_table {
  static constexpr std::size_t ways = 8;
  static_assert(Entries >= ways && (Entries & (Entries - 1)) == 0,
                "successor_table: a power of two, eight at least");

 public:
  /// The step after `context`, or null.
  [[nodiscard]] MILLRACE_HD constexpr successor const* find(std::uint64_t context) const noexcept {
    std::size_t const first = set_of(context);
    for (std::size_t i = first; i < first + ways; ++i) {
      if (entries_[i].context == context) { return &entries_[i]; }
    }
    return nullptr;
  }

  /// One that was right is not given up for a single exception.
  MILLRACE_HD constexpr void learn(std::uint64_t context, std::int64_t step,
                                   std::uint64_t bytes) noexcept {
    std::size_t const first = set_of(context);
    successor* place = nullptr;
    for (std::size_t i = first; i < first + ways; ++i) {
      successor& e = entries_[i];
      if (e.context == context) {
        if (e.step == step || !e.trusted) {
          e = {context, step, bytes, true};
        } else {
          e.trusted = false;
        }
        return;
      }
      bool const better = place == nullptr || (place->context != 0 && e.context == 0);
      if (!e.trusted && better) { place = &e; }
    }
    if (place != nullptr) {
      *place = {context, step, bytes, true};
      return;
    }
    // Those in use earn it again before the next one comes. Not each time: of an order with more
    // contexts than a set holds, each would then put the next one out, and none would stay.
    if (++refused_ % ways != 0) { return; }
    for (std::size_t i = first; i < first + ways; ++i) { entries_[i].trusted = false; }
  }

 private:
  [[nodiscard]] static MILLRACE_HD constexpr std::size_t set_of(std::uint64_t context) noexcept {
    return static_cast<std::size_t>(context >> 32) & (Entries - 1) & ~(ways - 1);
  }

  successor entries_[Entries] = {};
  std::uint32_t refused_ = 0;
};

/// What the next access is foretold from: the gaps between the last ones, or their places.
enum class foretold_by : std::uint8_t { gap = 0, place = 1, nothing = 2 };

/// Foretells which bytes are accessed next. It knows two kinds of order, and counts for each how
/// often it was right: what followed two **gaps**, each from the end of an access to the begin of
/// the next (sequential in either direction, any constant stride, several of these in turn), and
/// what followed two **places** (an order that repeats, such as a permutation in every epoch).
/// Deterministic; places in one memory below 2^63.
/// @tparam Contexts  pairs of places that are remembered: as many as accesses until an order
/// repeats
/// @thread one at a time   @cost some dozen comparisons
template <std::size_t Contexts>
class access_predictor {
 public:
  /// The last accesses, real or foretold.
  struct context {
    byte_range last{};
    std::uint64_t before = 0;     ///< the offset of the access before the last
    std::int64_t gap = 0;         ///< between these two
    std::int64_t gap_before = 0;  ///< before that
    std::uint32_t known = 0;      ///< accesses that these words tell of, 3 at most

    MILLRACE_HD constexpr void advance(byte_range r) noexcept {
      gap_before = gap;
      gap = known == 0 ? 0 : difference(r.offset, last.end());
      before = last.offset;
      last = r;
      known = known < 3 ? known + 1 : 3;
    }
  };

  [[nodiscard]] MILLRACE_HD constexpr context const& now() const noexcept { return now_; }

  /// The kind of order that was right of late and has something to say after the last access.
  [[nodiscard]] MILLRACE_HD constexpr foretold_by best(std::uint64_t extent_bytes) const noexcept {
    byte_range ignored;
    bool const by_gap =
        right_[0] >= enough && foretell(foretold_by::gap, now_, extent_bytes, ignored);
    bool const by_place =
        right_[1] >= enough && foretell(foretold_by::place, now_, extent_bytes, ignored);
    if (by_place && (!by_gap || right_[1] >= right_[0])) { return foretold_by::place; }
    return by_gap ? foretold_by::gap : foretold_by::nothing;
  }

  /// What follows `after`; false when that is not known or lies outside the memory.
  [[nodiscard]] MILLRACE_HD constexpr bool foretell(foretold_by kind, context const& after,
                                                    std::uint64_t extent_bytes,
                                                    byte_range& next) const noexcept {
    if (kind == foretold_by::nothing || after.known < (kind == foretold_by::gap ? 3u : 2u)) {
      return false;
    }
    bool const by_gap = kind == foretold_by::gap;
    auto const* const found = by_gap ? gaps_.find(gap_key(after)) : places_.find(place_key(after));
    if (found == nullptr) { return false; }
    // before the begin of the memory it wraps round to beyond its end
    std::uint64_t const begin =
        (by_gap ? after.last.end() : 0) + static_cast<std::uint64_t>(found->step);
    if (begin >= extent_bytes) { return false; }
    next = {begin, found->bytes};
    if (next.bytes > extent_bytes - next.offset) { next.bytes = extent_bytes - next.offset; }
    return true;
  }

  /// Takes in an access that happened.
  MILLRACE_HD constexpr void observe(byte_range r, std::uint64_t extent_bytes) noexcept {
    mark(foretold_by::gap, r, extent_bytes);
    mark(foretold_by::place, r, extent_bytes);
    if (now_.known >= 3) {
      gaps_.learn(gap_key(now_), difference(r.offset, now_.last.end()), r.bytes);
    }
    if (now_.known >= 2) {
      places_.learn(place_key(now_), static_cast<std::int64_t>(r.offset), r.bytes);
    }
    now_.advance(r);
  }

 private:
  static constexpr std::uint8_t enough = 2;
  static constexpr std::uint8_t most = 15;

  [[nodiscard]] static MILLRACE_HD constexpr std::int64_t difference(std::uint64_t a,
                                                                     std::uint64_t b) noexcept {
    return static_cast<std::int64_t>(a) - static_cast<std::int64_t>(b);
  }
  /// The finaliser of MurmurHash3 over two words; never 0.
  [[nodiscard]] static MILLRACE_HD constexpr std::uint64_t mix(std::uint64_t a,
                                                               std::uint64_t b) noexcept {
    std::uint64_t h = a * 0x9E3779B97F4A7C15u + b;
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDu;
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53u;
    h ^= h >> 33;
    return h == 0 ? 1 : h;
  }
  [[nodiscard]] static MILLRACE_HD constexpr std::uint64_t gap_key(context const& c) noexcept {
    return mix(static_cast<std::uint64_t>(c.gap_before), static_cast<std::uint64_t>(c.gap));
  }
  [[nodiscard]] static MILLRACE_HD constexpr std::uint64_t place_key(context const& c) noexcept {
    return mix(c.before, c.last.offset);
  }
  MILLRACE_HD constexpr void mark(foretold_by kind, byte_range came,
                                  std::uint64_t extent_bytes) noexcept {
    byte_range said;
    if (!foretell(kind, now_, extent_bytes, said)) { return; }
    std::uint8_t& right = right_[static_cast<std::size_t>(kind)];
    if (said.offset == came.offset) {
      right = right < most ? static_cast<std::uint8_t>(right + 1) : most;
    } else {
      right = right > 4 ? static_cast<std::uint8_t>(right - 4) : std::uint8_t{0};
    }
  }

  context now_{};
  std::uint8_t right_[2] = {enough, enough};  // until shown wrong
  successor_table<64> gaps_{};
  successor_table<Contexts> places_{};
};

}  // namespace millrace::inline v0::memory
