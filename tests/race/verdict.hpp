// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../tier.hpp"
#include "explorer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>

/// \file
/// What a test demands of an exploration. Each prints one line: how much was explored.

namespace race {

using millrace_test::long_tier;

/// Schedules with so many preemptions, and one more in tier long.
[[nodiscard]] inline options bounded(std::uint32_t preemptions) {
  options how;
  how.preemptions = long_tier() ? preemptions + 1 : preemptions;
  return how;
}
/// The same, where a place reads a store that is not the newest once only.
[[nodiscard]] inline options bounded_fresh(std::uint32_t preemptions) {
  options how = bounded(preemptions);
  how.stale = 1;
  return how;
}

namespace verdict {

/// What the running test is about: its name up to the colon.
[[nodiscard]] inline std::string topic() {
  std::string_view const name = doctest::getContextOptions()->currentTest->m_name;
  return std::string(name.substr(0, name.find(':')));
}

inline void print(report const& r, std::string const& what) {
  std::puts(r.summary(topic() + what).c_str());
}

}  // namespace verdict

/// Nothing failed, and nothing within the bounds was left out.
inline void require_proven(report const& r, std::string const& what) {
  verdict::print(r, ", " + what);
  CHECK_MESSAGE((r.proven() || (r.sampled && r.clean())), r.text());
}

/// Nothing failed: what random schedules can say.
inline void require_clean(report const& r, std::string const& what) {
  verdict::print(r, ", " + what);
  CHECK_MESSAGE(r.clean(), r.text());
}

/// The planted bug was found, as one of `kinds`.
/// @return whether it was: a sample need not find it
inline bool require_found(report const& r, std::initializer_list<failure_kind> kinds,
                          std::string const& what) {
  verdict::print(r, " with a bug, " + what);
  bool const found =
      std::any_of(kinds.begin(), kinds.end(), [&](failure_kind kind) { return r.found(kind); });
  CHECK_MESSAGE((found || (r.sampled && r.clean())), "found instead: ", r.text());
  return found;
}
inline bool require_found(report const& r, failure_kind kind, std::string const& what) {
  return require_found(r, {kind}, what);
}

}  // namespace race
