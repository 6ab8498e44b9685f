// SPDX-License-Identifier: Apache-2.0
// The look-back under every interleaving: teams that take tiles, say how many rows each writes, and
// add up what those before it have said. A team writes its rows where the sum says, so two tiles
// with one place are a data race.
#include "access.hpp"
#include "queue_bugs.hpp"
#include "verdict.hpp"
#include <millrace/delta/look_back.hpp>
#include <millrace/delta/team.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace {

namespace core = millrace::core;
namespace delta = millrace::delta;
using A = race::access;
using race::failure_kind;

template <std::uint32_t Window>
using team = delta::stepped_team<Window>;

/// Rows of each tile.
using tiles = std::vector<std::uint32_t>;

/// The teams' own loop says when it polls in vain.
template <class Access>
struct polled : Access {
  template <class T>
  [[nodiscard]] static T load(T const& word, core::memory_order order, char const* site) noexcept {
    race::begin_round();
    T const seen = Access::load(word, order, site);
    if (seen == 0) { race::pause(); }
    return seen;
  }
};

struct shared {
  static constexpr std::size_t most = 5;
  std::array<std::uint64_t, most> states{};
  std::uint64_t next = 0;
  std::array<std::uint32_t, 16> out{};
  std::array<std::uint64_t, most> counts{};  ///< for a mistake

  static inline shared* now = nullptr;
};

// Teams of a look-back window's width take tiles until there are none.
template <class Access, std::uint32_t Window = 1>
race::report look_back(std::uint32_t teams, tiles const& rows, race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    namespace detail = delta::detail;
    using group = team<Window>;
    using words = polled<Access>;
    auto& s = run.make<shared>();
    shared::now = &s;
    std::uint32_t total = 0;
    for (std::uint32_t const each : rows) { total += each; }
    run.name(&s.next, "next");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      run.name(&s.states[i], "tile " + std::to_string(i));
    }
    for (std::uint32_t t = 0; t < teams; ++t) {
      run.thread("team " + std::to_string(t), [&s, &rows, total] {
        std::uint64_t mine = 0;
        detail::look_back_space<group> space;
        for (;;) {
          std::size_t const tile = detail::next_tile<words, group>(s.next, mine);
          if (tile >= rows.size()) { break; }
          detail::tell_rows<words, group>(s.states.data(), tile, rows[tile], space);
          group::sync();
          std::uint64_t const before =
              detail::rows_before<words, group>(s.states.data(), tile, rows[tile], space);
          race::check(before + rows[tile] <= total, "a tile's rows have room");
          std::uint32_t* const at = s.out.data() + before;
          A::write(at, rows[tile] * sizeof(*at), "test.rows");
          for (std::uint32_t i = 0; i < rows[tile]; ++i) {
            at[i] = static_cast<std::uint32_t>(tile) + 1;
          }
        }
      });
    }
    run.after([&s, &rows, total] {
      std::size_t at = 0;
      for (std::size_t tile = 0; tile < rows.size(); ++tile) {
        for (std::uint32_t i = 0; i < rows[tile]; ++i, ++at) {
          race::check(s.out[at] == tile + 1, "the tiles' rows lie one behind the other");
        }
        race::check((s.states[tile] & 3) == detail::tile_rows::all, "every tile told the sum");
      }
      race::check(at == total, "there are all of them");
    });
  });
}

/// What a tile says of its own rows is taken for the rows of all.
struct hasty : A {
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, core::memory_order order,
                    char const* site) noexcept {
    bool const own = std::string_view(site) == "look_back.own";
    T const all = (value & ~T{3}) | delta::detail::tile_rows::all;
    A::store(word, own ? all : value, order, site);
  }
};
/// A tile takes those that have said nothing yet for empty.
struct impatient : A {
  template <class T>
  [[nodiscard]] static T load(T const& word, core::memory_order order, char const* site) noexcept {
    T const seen = A::load(word, order, site);
    return seen == 0 ? T{delta::detail::tile_rows::own} : seen;
  }
};
/// Teams take the last of three tiles first, as a device may begin its blocks.
struct backwards : A {
  template <class T>
  static T fetch_add(T& word, std::type_identity_t<T> n, core::memory_order order,
                     char const* site) noexcept {
    T const drawn = A::fetch_add(word, n, order, site);
    return drawn < 3 ? 2 - drawn : drawn;
  }
};
/// Count and kind are two words, the count written first and read last.
struct parted : A {
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, core::memory_order order,
                    char const* site) noexcept {
    A::store(count(word), value >> 2, order, "count");
    A::store(word, value & 3, order, site);
  }
  template <class T>
  [[nodiscard]] static T load(T const& word, core::memory_order order, char const* site) noexcept {
    T const kind = A::load(word, order, site);
    return kind == 0 ? T{0} : A::load(count(word), order, "count") << 2 | kind;
  }

 private:
  [[nodiscard]] static std::uint64_t& count(std::uint64_t const& word) noexcept {
    return shared::now->counts[static_cast<std::size_t>(&word - shared::now->states.data())];
  }
};

template <std::uint32_t Window>
void proven(std::uint32_t teams, std::initializer_list<tiles> each) {
  race::options how;
  how.history = 16;  // a store for each tile, and one for each team that finds none
  for (tiles const& rows : each) {
    require_proven(look_back<A, Window>(teams, rows, how),
                   std::to_string(teams) + " teams, " + std::to_string(rows.size()) + " tiles, " +
                       std::to_string(Window) + " at once");
  }
}

}  // namespace

TEST_CASE("look_back: every tile's rows lie behind those of the tiles before it") {
  proven<1>(2, {{2, 1}, {0, 1, 2}, {2, 0, 1, 3}, {1, 0, 0, 2, 1}});
  proven<1>(3, {{2, 0, 1}, {1, 2, 0, 3}, {1, 0, 0, 2, 1}});
  proven<1>(4, {{2, 0, 1}, {1, 2, 0, 3}});
  if (race::long_tier()) { proven<1>(4, {{1, 0, 0, 2, 1}}); }
}

TEST_CASE("look_back: a team that looks at several tiles at once adds up the same") {
  proven<2>(2, {{2, 1}, {2, 0, 1, 3}, {1, 0, 0, 2, 1}});
  proven<2>(3, {{2, 0, 1}, {1, 2, 0, 3}, {1, 0, 0, 2, 1}});
  proven<3>(3, {{1, 2, 0, 3}, {1, 0, 0, 2, 1}});
}

TEST_CASE("look_back: planted mistakes are found") {
  tiles const rows = {2, 0, 1};
  require_found(look_back<race::torn_add<"look_back.next">>(2, rows), failure_kind::data_race,
                "two teams take one tile");
  require_found(look_back<backwards>(2, rows), failure_kind::deadlock,
                "tiles taken from the last on");
  require_found(look_back<race::dropped<"look_back.own">>(2, rows), failure_kind::deadlock,
                "a tile that says nothing");
  require_found(look_back<hasty>(2, rows), {failure_kind::check, failure_kind::data_race},
                "a sum told before it is known");
  require_found(look_back<race::shifted<"look_back.all", -4>>(2, rows), failure_kind::check,
                "a sum that is one short");
  require_found(look_back<race::shifted<"look_back.all", -1>>(2, rows),
                {failure_kind::check, failure_kind::data_race},
                "a sum that is taken for a tile's own rows");
  require_found(look_back<impatient>(2, rows), {failure_kind::check, failure_kind::data_race},
                "a tile that does not wait");
  require_found(look_back<parted>(2, rows), {failure_kind::check, failure_kind::data_race},
                "count and kind in two words");
}
