// SPDX-License-Identifier: Apache-2.0
#include "access.hpp"
#include "explorer.hpp"
#include "verdict.hpp"
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/pending_set.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// The marks that the members of a team set at the same time: numbers of a pending set, and what the
// words above say of them.

namespace {

using A = race::access;
using race::require_found;
using race::require_proven;
namespace core = millrace::core;
using set = millrace::propagate::pending_set<millrace::memory::host_resource>;

constexpr std::uint32_t room = 64 * 64 * 2;  // three levels of words

/// A set of a test thread's own, whose words are where the explorer sees them.
struct shared_set {
  shared_set() : all{millrace::memory::host_resource{}} { REQUIRE(all.reserve(room)); }
  set all;
};

/// Bits of a word.
struct mark {
  std::uint32_t word;
  std::uint64_t bits;
};

/// Threads that insert what they have; in the end all of it is there, in order, and nothing else.
template <class Access>
race::report insert(std::vector<std::vector<mark>> const& of, race::options how) {
  return race::explore(how, [&of](race::run& run) {
    auto& s = run.make<shared_set>();
    for (std::size_t t = 0; t < of.size(); ++t) {
      auto const* const mine = &of[t];
      run.thread("member " + std::to_string(t), [&s, mine] {
        for (mark const& each : *mine) {
          s.all.template insert_shared<Access>(each.word, each.bits);
        }
      });
    }
    run.after([&s, &of] {
      std::vector<std::uint64_t> want(room / 64);
      for (auto const& mine : of) {
        for (mark const& each : mine) { want[each.word] |= each.bits; }
      }
      // a pass looks from the place on that it has come to
      s.all.insert(0);
      race::check(s.all.pop() == 0, "the least is taken first");
      for (std::uint32_t word = 0; word < want.size(); ++word) {
        for (std::uint64_t left = want[word]; left != 0; left &= left - 1) {
          auto const i = word * 64 + static_cast<std::uint32_t>(std::countr_zero(left));
          race::check(s.all.pop() == i, "what any of them has inserted is taken, in order");
        }
      }
      race::check(s.all.pop() == set::none, "nothing else is there");
    });
  });
}

/// Sets bits by a load and a store.
struct torn : A {
  template <class T>
  static T fetch_or(T& word, T bits, core::memory_order, char const* site) noexcept {
    T const before = A::load(word, core::relaxed, site);
    A::store(word, before | bits, core::relaxed, site);
    return before;
  }
};
/// Says no word to those above.
struct silent : A {
  template <class T>
  static T fetch_or(T& word, T bits, core::memory_order order, char const* site) noexcept {
    if (std::string_view(site) == "pending.announce") { return word; }
    return A::fetch_or(word, bits, order, site);
  }
};

constexpr std::uint32_t far = 64 + 5;
std::vector<std::vector<mark>> const same_word{{{9, 1}, {9, 6}}, {{9, 2}, {9, 8}}};
std::vector<std::vector<mark>> const same_bits{{{9, 3}, {far, 1}}, {{far, 1}, {9, 3}}};
std::vector<std::vector<mark>> const neighbours{{{8, 1}, {far, 1}}, {{9, 2}, {far + 1, 2}}};
std::vector<std::vector<mark>> const three{{{9, 1}}, {{9, 3}}, {{10, 1}}};

}  // namespace

TEST_CASE("marks: all that members of a team set at once is there") {
  require_proven(insert<A>(same_word, {}), "bits of one word");
  require_proven(insert<A>(same_bits, {}), "the same bits, in another order");
  require_proven(insert<A>(neighbours, {}), "words beside each other");
  require_proven(insert<A>(three, {}), "three members");
}

TEST_CASE("marks: a mark that is written over is found, and one that nothing above knows of") {
  require_found(insert<torn>(same_word, {}), race::failure_kind::check,
                "bits by a load and a store");
  require_found(insert<torn>(neighbours, {}), race::failure_kind::check, "words above, too");
  require_found(insert<silent>(neighbours, {}), race::failure_kind::check, "nothing is said above");
}
