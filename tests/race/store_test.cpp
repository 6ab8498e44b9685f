// SPDX-License-Identifier: Apache-2.0
#include "access.hpp"
#include "explorer.hpp"
#include "parking.hpp"
#include "verdict.hpp"
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/commit_lane.hpp>
#include <millrace/propagate/epoch_pins.hpp>
#include <millrace/propagate/slot_table.hpp>
#include <millrace/propagate/version.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

// What threads that share a store touch at the same time: the lane that commits go through, the
// epochs that readers pin, the versions that they find and that are given back, and the table that
// they find cells in.

namespace {

using A = race::access;
using deaf = race::deaf_parking;
using race::bounded_fresh;
using race::parking;
using race::require_found;
using race::require_proven;
using race::weakened;
using race::without_total_order;
namespace core = millrace::core;
namespace detail = millrace::propagate::detail;

template <class Access, class Parking, std::uint32_t Looks, std::uint32_t Lists>
struct explored_lane : detail::default_lane<Access, Parking> {
  static constexpr std::uint32_t looks = Looks;
  static constexpr std::uint32_t lists = Lists;
  static void pause(std::uint32_t) noexcept { race::pause(); }
};

// ---- the lane

struct request : detail::lane_request {
  std::uint32_t number = 0;
  std::uint32_t served = 0;
};
template <class Access, class Parking, std::uint32_t Looks, std::uint32_t Lists>
struct shared_lane {
  detail::commit_lane<explored_lane<Access, Parking, Looks, Lists>> lane;
  std::uint32_t done = 0;  // by who leads
};

/// Threads that pass `each` requests one after the other.
template <class Access, class Parking = parking, std::uint32_t Looks = 1, std::uint32_t Lists = 8>
race::report pass(std::uint32_t threads, std::uint32_t each, race::options how) {
  how.rounds = Looks + 1;
  return race::explore(how, [=](race::run& run) {
    auto& s = run.make<shared_lane<Access, Parking, Looks, Lists>>();
    for (std::uint32_t t = 0; t < threads; ++t) {
      auto& mine = run.make<std::array<request, 2>>();
      run.thread("committer " + std::to_string(t), [&s, &mine, each] {
        for (std::uint32_t k = 0; k < each; ++k) {
          s.lane.pass(mine[k], [&s](detail::lane_request* first) {
            for (auto* r = first; r != nullptr; r = r->next) {
              A::read(&s.done, sizeof s.done, "done");
              A::write(&s.done, sizeof s.done, "done");
              ++s.done;
              auto& it = static_cast<request&>(*r);
              A::write(&it.served, sizeof it.served, "served");
              ++it.served;
            }
          });
          A::read(&mine[k].served, sizeof mine[k].served, "served");
          race::check(mine[k].served == 1, "a request is served once before its thread goes on");
        }
      });
    }
    run.after([&s, threads, each] { race::check(s.done == threads * each, "all are served"); });
  });
}

// ---- epochs and versions

struct kept : detail::version {
  std::uint64_t value = 0;
};
template <class Access>
struct history {
  history() {
    chain.push(&all[0]);
    for (std::uint64_t e = 1; e <= 3; ++e) {
      all[e].epoch = e;
      all[e].value = 10 * e;
    }
  }
  detail::epoch_pin words[2];
  detail::epoch_pins<Access> pins{words, 2};
  detail::version_chain<Access> chain;
  detail::version_log log;
  kept all[4];
};

template <class Access>
void commit(history<Access>& h, std::uint64_t epoch) {
  kept& v = h.all[epoch];
  A::write(&v.epoch, sizeof v.epoch, "version.epoch");
  A::write(&v.value, sizeof v.value, "version.value");
  h.chain.push(&v);
  h.log.add(&v);
  h.pins.advance(epoch);
  h.log.template cut<Access>(h.pins.oldest(), [](detail::version* gone, detail::version*) {
    A::write(static_cast<kept*>(gone), sizeof(kept), "version.gone");
  });
}
template <class Access>
void look(history<Access>& h) {
  std::uint64_t epoch = 0;
  std::uint32_t const pin = h.pins.pin(epoch);
  race::check(pin != h.pins.none, "there is a pin for each");
  for (int twice = 0; twice < 2; ++twice) {
    auto const* const v = static_cast<kept const*>(h.chain.at(epoch));
    race::check(v != nullptr && v->epoch == epoch, "the epoch's version");
    A::read(&v->value, sizeof v->value, "version.value");
    race::check(v->value == 10 * epoch, "and its value");
  }
  h.pins.unpin(pin);
}
template <class Access>
race::report read_beside(std::uint32_t readers, std::uint64_t commits, race::options how) {
  return race::explore(how, [=](race::run& run) {
    auto& h = run.make<history<Access>>();
    run.thread("lane", [&h, commits] {
      for (std::uint64_t e = 1; e <= commits; ++e) { commit(h, e); }
    });
    for (std::uint32_t r = 0; r < readers; ++r) {
      run.thread("reader " + std::to_string(r), [&h] { look(h); });
    }
    run.after(
        [&h, commits] { race::check(h.pins.oldest() == commits, "nothing is pinned any more"); });
  });
}

// ---- the table

/// One block, which lies in the shared object: an execution that is cut off frees nothing.
struct one_block {
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = false;
  std::uint64_t* block = nullptr;

  [[nodiscard]] millrace::result<void*> try_allocate(std::size_t bytes,
                                                     std::size_t) const noexcept {
    race::check(bytes == sizeof(std::uint64_t) * 64, "a block of 64 slots");
    return static_cast<void*>(block);
  }
  static void deallocate(void*, std::size_t, std::size_t) noexcept {}
  [[nodiscard]] friend bool operator==(one_block, one_block) noexcept = default;
};
static_assert(millrace::memory::host_accessible_resource<one_block>);

template <class Access>
race::report find_beside(race::options how) {
  return race::explore(how, [=](race::run& run) {
    struct shared {
      std::uint64_t block[64] = {};
      detail::slot_table<Access, std::uint32_t, one_block> table{one_block{block}};
      std::uint32_t value = 0;
    };
    auto& s = run.make<shared>();
    run.thread("lane", [&s] {
      race::check(s.table.reserve(70).has_value(), "there is memory");
      A::write(&s.value, sizeof s.value, "value");
      s.value = 7;
      s.table.put(70, &s.value);
      s.table.put(70, nullptr);
    });
    run.thread("reader", [&s] {
      if (std::uint32_t const* const found = s.table.find(70); found != nullptr) {
        A::read(found, sizeof *found, "value");
        race::check(*found == 7, "what is found is whole");
      }
    });
  });
}

}  // namespace

TEST_CASE("commit lane: each request is done once, by one thread at a time, and nobody sleeps on") {
  require_proven(pass<A>(2, 2, bounded_fresh(2)), "2 threads, 2 requests each");
  require_proven(pass<A>(3, 1, bounded_fresh(1)), "3 threads");
  require_proven(pass<A, parking, 1, 1>(2, 2, bounded_fresh(2)), "2 threads, the lead goes round");
  require_proven(pass<A, parking, 1, 1>(3, 1, bounded_fresh(1)), "3 threads, the lead goes round");
  require_proven(pass<A, parking, 2, 1>(2, 2, bounded_fresh(2)), "two looks");
}

TEST_CASE("commit lane: planted bugs are found") {
  using race::failure_kind;
  require_found(pass<weakened<"lane.tell">>(2, 1, bounded_fresh(2)), failure_kind::data_race,
                "tell without release");
  require_found(pass<weakened<"lane.poll">>(2, 1, bounded_fresh(2)), failure_kind::data_race,
                "poll without acquire");
  require_found(pass<weakened<"lane.push">>(2, 1, bounded_fresh(2)),
                {failure_kind::data_race, failure_kind::deadlock}, "push without any order");
  require_found(pass<weakened<"lane.leave">>(2, 2, bounded_fresh(2)), failure_kind::data_race,
                "leave without release");
  require_found(pass<without_total_order<"lane.leave">>(2, 1, bounded_fresh(3)),
                failure_kind::deadlock, "leave out of the total order");
  require_found(pass<without_total_order<"lane.anybody">>(2, 1, bounded_fresh(3)),
                failure_kind::deadlock, "the last look out of the total order");
  require_found(pass<A, deaf>(2, 1, bounded_fresh(2)), failure_kind::deadlock, "no wakes");
}

TEST_CASE("epochs: who has pinned one reads its versions, whatever is committed and given back") {
  require_proven(read_beside<A>(1, 2, race::options{}), "a reader, 2 commits");
  require_proven(read_beside<A>(1, 3, bounded_fresh(3)), "a reader, 3 commits");
  require_proven(read_beside<A>(2, 2, bounded_fresh(1)), "2 readers, 2 commits");
}

TEST_CASE("epochs: planted bugs are found") {
  using race::failure_kind;
  auto const found = [](race::report const& r, char const* what) {
    require_found(r, {failure_kind::data_race, failure_kind::check}, what);
  };
  found(read_beside<without_total_order<"pins.claim">>(1, 2, bounded_fresh(3)),
        "claim out of the total order");
  found(read_beside<without_total_order<"pins.second_look">>(1, 2, bounded_fresh(3)),
        "second look out of the total order");
  found(read_beside<without_total_order<"pins.bound">>(1, 2, bounded_fresh(3)),
        "the newest out of the total order");
  found(read_beside<weakened<"pins.advance">>(1, 2, bounded_fresh(3)), "advance without release");
  found(read_beside<without_total_order<"pins.scan">>(1, 2, bounded_fresh(3)),
        "scan out of the total order");
  found(read_beside<weakened<"pins.release">>(1, 2, bounded_fresh(3)), "unpin without release");
  found(read_beside<weakened<"versions.push">>(1, 2, bounded_fresh(3)), "push without release");
  found(read_beside<weakened<"versions.newest">>(1, 2, bounded_fresh(3)), "newest without acquire");
}

TEST_CASE("slots: who finds a cell finds all of it, beside a table that grows") {
  require_proven(find_beside<A>(race::options{}), "grow, put, take");
  require_found(find_beside<weakened<"slots.put">>(race::options{}), race::failure_kind::data_race,
                "put without release");
  require_found(find_beside<weakened<"slots.find">>(race::options{}), race::failure_kind::data_race,
                "find without acquire");
}
