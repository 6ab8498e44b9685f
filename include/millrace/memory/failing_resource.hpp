// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/memory/resource.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// Which allocations fail. The caller owns it; while others allocate it is changed through
/// std::atomic_ref. Several rules hold together.
struct failure_plan {
  std::uint64_t seen = 0;         ///< allocations asked for so far
  std::uint64_t failed = 0;       ///< of them
  std::uint64_t fail_at = 0;      ///< this one fails, counted from 1; 0: none
  std::uint64_t fail_from = 0;    ///< this one and all after it; 0: none
  std::uint64_t fail_one_in = 0;  ///< by chance; 0: none
  std::uint64_t seed = 1;         ///< of the chance: the same plan fails the same allocations
  std::uint64_t budget_bytes = ~std::uint64_t{0};  ///< in use at a time, at most
  std::uint64_t live_bytes = 0;
};

/// Passes on to `Upstream` what a plan does not fail with errc::out_of_memory: for tests of what a
/// program does then.
/// @thread any; each count is its own relaxed atomic
template <resource Upstream = host_resource>
class failing_resource {
 public:
  static constexpr bool host_accessible = Upstream::host_accessible;
  static constexpr bool device_accessible = Upstream::device_accessible;

  explicit failing_resource(failure_plan& plan, Upstream upstream = {}) noexcept
      : plan_{&plan}, upstream_{upstream} {}

  /// @error errc::out_of_memory as the plan says; else as the upstream's
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    std::uint64_t const number =
        words::fetch_add(plan_->seen, std::uint64_t{1}, core::relaxed, "plan.seen") + 1;
    if (fails(number) || !reserve(bytes)) {
      static_cast<void>(
          words::fetch_add(plan_->failed, std::uint64_t{1}, core::relaxed, "plan.failed"));
      return core::fail(errc::out_of_memory);
    }
    auto const given = upstream_.try_allocate(bytes, alignment);
    if (!given) { unreserve(bytes); }
    return given;
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    upstream_.deallocate(p, bytes, alignment);
    unreserve(bytes);
  }

  [[nodiscard]] friend bool operator==(failing_resource const& a,
                                       failing_resource const& b) noexcept {
    return a.plan_ == b.plan_ && a.upstream_ == b.upstream_;
  }

 private:
  using words = core::direct_access<cuda::thread_scope_system>;
  [[nodiscard]] static std::uint64_t look(std::uint64_t const& word) noexcept {
    return words::load(word, core::relaxed, "plan.look");
  }

  [[nodiscard]] bool fails(std::uint64_t number) const noexcept {
    std::uint64_t const from = look(plan_->fail_from), one_in = look(plan_->fail_one_in);
    if (number == look(plan_->fail_at) || (from != 0 && number >= from)) { return true; }
    if (one_in == 0) { return false; }
    core::splitmix_rng chance(look(plan_->seed) * 0x9e37'79b9'7f4a'7c15u + number);
    return chance.next() % one_in == 0;
  }
  [[nodiscard]] bool reserve(std::size_t bytes) noexcept {
    std::uint64_t live = look(plan_->live_bytes);
    std::uint64_t const budget = look(plan_->budget_bytes);
    do {
      if (bytes > budget || live > budget - bytes) { return false; }
    } while (!words::compare_exchange(plan_->live_bytes, live, live + bytes, core::relaxed,
                                      core::relaxed, "plan.reserve"));
    return true;
  }
  void unreserve(std::size_t bytes) noexcept {
    static_cast<void>(words::fetch_add(plan_->live_bytes, ~std::uint64_t{bytes} + 1, core::relaxed,
                                       "plan.reserve"));
  }

  failure_plan* plan_;
  Upstream upstream_;
};
static_assert(host_accessible_resource<failing_resource<>>);

}  // namespace millrace::inline v0::memory
