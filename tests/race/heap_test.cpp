// SPDX-License-Identifier: Apache-2.0
// The heap's caches under every interleaving: blocks that go home to another thread's slab, slabs
// that change hands, caches whose threads leave. A thread writes into every block that it has, so a
// block with two owners is a data race.
#include "access.hpp"
#include "blocks.hpp"
#include "queue_bugs.hpp"
#include "verdict.hpp"
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/cache_crowd.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace {

namespace memory = millrace::memory;
using A = race::access;
using race::failure_kind;
using race::hand_over;
using race::receive;
using race::use;

/// Two blocks of 64 bytes a slab, magazines of two, every remote free sent at once.
template <class Access>
struct tiny : memory::default_heap {
  using access = Access;
  using classes = memory::four_an_octave<64>;
  static constexpr std::size_t slab_bytes = 128;
  static constexpr std::uint32_t magazine_blocks = 2;
  static constexpr std::uint32_t remote_batch = 1;
  static constexpr std::uint32_t remote_slabs = 1;
  static constexpr std::uint32_t spare_slabs = 1;
};
/// Remote frees in twos.
template <class Access>
struct tiny_pairs : tiny<Access> {
  static constexpr std::uint32_t remote_batch = 2;
};
constexpr std::uint32_t of_64 = 3;  ///< the class: two blocks a slab

template <memory::heap_policy P>
class world {
 public:
  using cache = memory::heap_cache<P>;

  explicit world(std::uint32_t slabs, std::uint32_t caches = 3)
      : bytes_(take<std::byte>(slabs * P::slab_bytes, P::slab_bytes)),
        records_(take<std::byte>(slabs * sizeof(memory::slab_record<P>), 128)),
        owners_(take<std::byte>(slabs * sizeof(*space.owners), 128)),
        posts_(take<std::byte>(caches * sizeof(memory::cache_post), 128)),
        caches_(take<std::byte>(caches * sizeof(cache), 128)) {
    space.slabs = bytes_.data();
    space.records = new (records_.data()) memory::slab_record<P>[slabs];
    space.owners = new (owners_.data()) memory::watched<std::uint16_t>[slabs];
    space.posts = new (posts_.data()) memory::cache_post[caches];
    space.map = memory::slab_map<typename P::access>(&word_, &hint_, slabs);
    space.map.format();
    space.most_slabs = slabs;
    crowd = memory::cache_crowd<P>(space, reinterpret_cast<cache*>(caches_.data()), caches);
  }

  /// A cache that is there from the beginning.
  [[nodiscard]] std::uint32_t begin() { return *crowd.enter(); }

  memory::heap_space<P> space;
  memory::cache_crowd<P> crowd;
  std::array<std::uint64_t, 4> flags{};  ///< blocks on their way between threads

 private:
  template <class T>
  static memory::buffer<T> take(std::size_t count, std::size_t alignment) {
    return std::move(*memory::buffer<T>::make_zeroed(count, {}, alignment));
  }

  memory::buffer<std::byte> bytes_, records_, owners_, posts_, caches_;
  std::uint64_t word_ = 0;
  std::uint32_t hint_ = 0;
};

// The first thread allocates and hands blocks over; others free them while it goes on allocating.
template <class P>
race::report freed_elsewhere(std::uint32_t helpers, std::uint32_t blocks, std::uint32_t slabs,
                             race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& w = run.make<world<P>>(slabs);
    std::uint32_t const mine = w.begin();
    run.thread("owner", [&w, mine, blocks] {
      auto& cache = w.crowd[mine];
      for (std::uint32_t i = 0; i < blocks; ++i) {
        void* const p = cache.take(of_64);
        race::check(p != nullptr, "there is a block to hand over");
        use(p);
        hand_over(w.flags[i], p);
      }
      // what comes home is given again, to one owner at a time
      std::array<void*, 2> more{};
      for (void*& p : more) {
        p = cache.take(of_64);
        if (p != nullptr) { use(p); }
      }
      race::check(more[0] == nullptr || more[0] != more[1], "a block has one owner");
      for (void* const p : more) {
        if (p != nullptr) { cache.give(p, of_64); }
      }
    });
    for (std::uint32_t h = 0; h < helpers; ++h) {
      std::uint32_t const number = w.begin();
      run.thread("helper " + std::to_string(h), [&w, h, number, helpers, blocks] {
        for (std::uint32_t i = h; i < blocks; i += helpers) {
          void* const p = receive(w.flags[i]);
          use(p);
          w.crowd[number].give(p, of_64);
        }
        w.crowd.leave(number);
      });
    }
    run.after([&w, mine] {
      w.crowd.leave(mine);
      w.crowd.reclaim();
      race::check(w.space.map.live() == 0, "every slab went back");
      race::check(w.space.taken_slabs == 0, "and is counted so");
    });
  });
}

// Two threads take and give slabs of a space that has fewer than both want.
template <class P>
race::report share_slabs(std::uint32_t slabs, race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& w = run.make<world<P>>(slabs);
    for (std::uint32_t t = 0; t < 2; ++t) {
      run.thread([&w] {
        for (std::uint32_t turn = 0; turn < 2; ++turn) {
          auto const got = w.space.claim(1);
          if (!got) { continue; }
          use(w.space.bytes_of(**got));
          w.space.release(**got);
        }
      });
    }
    run.after([&w] { race::check(w.space.map.live() == 0, "every slab went back"); });
  });
}

// A thread leaves while another holds a block of its slab; a third may come and go on with its
// cache.
template <class P>
race::report leave_behind(race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& w = run.make<world<P>>(2);
    std::uint32_t const first = w.begin();
    std::uint32_t const second = w.begin();
    run.thread("leaver", [&w, first] {
      auto& cache = w.crowd[first];
      void* const p = cache.take(of_64);
      void* const q = cache.take(of_64);
      use(p);
      use(q);
      hand_over(w.flags[0], p);
      cache.give(q, of_64);
      w.crowd.leave(first);
    });
    run.thread("holder", [&w, second] {
      void* const p = receive(w.flags[0]);
      use(p);
      w.crowd[second].give(p, of_64);
      w.crowd.leave(second);
      w.crowd.reclaim();
    });
    run.thread("successor", [&w] {
      auto const number = w.crowd.enter();
      race::check(number.has_value(), "there is a cache");
      void* const p = w.crowd[*number].take(of_64);
      race::check(p != nullptr, "there is a block");
      use(p);
      w.crowd[*number].give(p, of_64);
      w.crowd.leave(*number);
    });
    run.after([&w] {
      w.crowd.reclaim();
      race::check(w.space.map.live() == 0, "every slab went back");
    });
  });
}

}  // namespace

TEST_CASE("heap: blocks that another thread frees come home") {
  require_proven(freed_elsewhere<tiny<A>>(1, 1, 1), "1 block, 1 slab");
  require_proven(freed_elsewhere<tiny<A>>(1, 2, 1), "2 blocks, 1 slab");
  require_proven(freed_elsewhere<tiny<A>>(1, 3, 2), "3 blocks, 2 slabs");
  require_proven(freed_elsewhere<tiny_pairs<A>>(1, 2, 1), "2 blocks as a batch");
  require_proven(freed_elsewhere<tiny_pairs<A>>(1, 3, 2), "3 blocks, a batch and one");
}

TEST_CASE("heap: two threads free blocks of a third's slab") {
  require_proven(freed_elsewhere<tiny<A>>(2, 2, 1), "2 helpers, 2 blocks");
}

TEST_CASE("heap: a slab is one thread's at a time") {
  require_proven(share_slabs<tiny<A>>(1), "1 slab for 2 threads");
  require_proven(share_slabs<tiny<A>>(2, race::bounded(2)), "2 slabs for 2 threads");
}

TEST_CASE("heap: a cache goes from thread to thread with its slabs") {
  require_proven(leave_behind<tiny<A>>(race::bounded(2)), "1 leaves, 1 frees, 1 comes");
}

TEST_CASE("heap: a relaxed order at any publishing place is found") {
  using race::weakened;
  auto const found = [](race::report const& r, char const* site) {
    require_found(r, failure_kind::data_race, std::string("relaxed ") + site);
  };
  found(freed_elsewhere<tiny<weakened<"remote.push">>>(1, 2, 1), "remote.push");
  found(freed_elsewhere<tiny<weakened<"remote.take">>>(1, 2, 1), "remote.take");
  found(freed_elsewhere<tiny<weakened<"mail.push">>>(1, 2, 1), "mail.push");
  found(freed_elsewhere<tiny<weakened<"mail.take">>>(1, 2, 1), "mail.take");
  found(share_slabs<tiny<weakened<"map.claim">>>(1), "map.claim");
  found(share_slabs<tiny<weakened<"map.release">>>(1), "map.release");
  found(leave_behind<tiny<weakened<"cache.leave">>>(), "cache.leave");
  found(leave_behind<tiny<weakened<"cache.enter">>>(), "cache.enter");
}

TEST_CASE("heap: planted mistakes in the protocol are found") {
  require_found(share_slabs<tiny<race::torn_exchange<"map.claim">>>(1), failure_kind::data_race,
                "two threads win one slab");
  require_found(freed_elsewhere<tiny<race::torn_exchange<"remote.push">>>(2, 2, 1),
                {failure_kind::data_race, failure_kind::check},
                "two threads push onto one slab, and a batch is lost");
  require_found(freed_elsewhere<tiny<race::torn_exchange<"remote.take">>>(1, 2, 1),
                failure_kind::check, "a batch that comes while the slab is emptied is lost");
  require_found(freed_elsewhere<tiny<race::unclaimed<"mail.push">>>(1, 1, 1), failure_kind::check,
                "a slab whose mail never comes");
  require_found(leave_behind<tiny<race::torn_exchange<"cache.enter">>>(),
                {failure_kind::data_race, failure_kind::check}, "two threads have one cache");
}
