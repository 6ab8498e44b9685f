// SPDX-License-Identifier: Apache-2.0
// The kernel heap under every interleaving: blocks that any thread takes and any other frees, slabs
// that go from class to class while others still believe in the old one. A thread writes into every
// block that it has, so a block with two owners is a data race.
#include "access.hpp"
#include "blocks.hpp"
#include "verdict.hpp"
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/kernel_heap_ref.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace {

namespace memory = millrace::memory;
using A = race::access;
using race::failure_kind;
using race::hand_over;
using race::receive;
using race::use;

/// Two blocks of 64 bytes a slab, or eight of 16; one slab to draw from at a time.
template <class Access>
struct tiny : memory::default_kernel_heap {
  using access = Access;
  using classes = memory::four_an_octave<64>;
  using slab_wait = memory::patient<0>;
  static constexpr std::size_t slab_bytes = 128;
  static constexpr std::uint32_t shards = 1;
  [[nodiscard]] static std::uint32_t place() noexcept { return 0; }
};
/// A slab's blocks of 16 bytes have two words.
template <class Access>
struct two_words : tiny<Access> {
  static constexpr std::size_t slab_bytes = 2048;
};

template <memory::kernel_heap_policy P>
class world {
 public:
  using ref = memory::kernel_heap_ref<P>;

  explicit world(std::uint32_t slabs)
      : words_(take(ref::slabs::layout::of(slabs).bytes, 128)),
        bytes_(take(slabs * P::slab_bytes + beyond, P::slab_bytes)) {
    typename ref::slabs const under(words_.data(), bytes_.data(), slabs, &low_);
    under.format(slabs);
    heap = ref(under);
  }

  /// Nobody has anything: every slab comes back.
  void check_empty() const {
    static_cast<void>(heap.under().reclaim());
    race::check(heap.under().map().live() == 0, "every slab went back");
    race::check(heap.under().counts().taken == 0, "and is counted so");
    // whatever is still said of slabs that have left their class misleads nobody for ever
    for (std::size_t const bytes : {16, 32, 48, 64}) {
      void* const p = heap.malloc(bytes);
      race::check(p != nullptr, "there is room for every class");
      race::check(heap.free(p).has_value(), "and it goes back");
    }
  }

  ref heap;
  std::array<std::uint64_t, 4> flags{};  ///< blocks on their way between threads

 private:
  static constexpr std::size_t beyond = 4096;  ///< a planted mistake may write behind a slab

  static memory::buffer<std::byte> take(std::size_t bytes, std::size_t alignment) {
    return std::move(*memory::buffer<std::byte>::make_zeroed(bytes, {}, alignment));
  }

  memory::buffer<std::byte> words_, bytes_;
  std::uint32_t low_ = 0;
};

// Each thread takes, uses and frees blocks of its size, `turns` times. The shard of the first's
// class has a slab already.
template <class P>
race::report churn(std::array<std::size_t, 3> sizes, std::uint32_t threads, std::uint32_t turns,
                   std::uint32_t slabs, race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& w = run.make<world<P>>(slabs);
    static_cast<void>(w.heap.free(w.heap.malloc(sizes[0])));
    for (std::uint32_t t = 0; t < threads; ++t) {
      run.thread([&w, size = sizes[t], turns] {
        for (std::uint32_t i = 0; i < turns; ++i) {
          void* const p = w.heap.malloc(size);
          if (p == nullptr) { continue; }
          use(p, size);
          race::check(w.heap.free(p).has_value(), "the block goes back once");
        }
      });
    }
    run.after([&w] { w.check_empty(); });
  });
}

// One thread hands blocks to another, which frees them while the first goes on allocating.
template <class P>
race::report freed_elsewhere(std::uint32_t blocks, std::uint32_t slabs,
                             race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& w = run.make<world<P>>(slabs);
    run.thread("giver", [&w, blocks] {
      for (std::uint32_t i = 0; i < blocks; ++i) {
        void* const p = w.heap.malloc(64);
        race::check(p != nullptr, "there is a block to hand over");
        use(p, 64);
        hand_over(w.flags[i], p);
      }
      void* const more = w.heap.malloc(64);
      if (more != nullptr) {
        use(more, 64);
        static_cast<void>(w.heap.free(more));
      }
    });
    run.thread("taker", [&w, blocks] {
      for (std::uint32_t i = 0; i < blocks; ++i) {
        void* const p = receive(w.flags[i]);
        use(p, 64);
        race::check(w.heap.free(p).has_value(), "the block goes back once");
      }
    });
    run.after([&w] { w.check_empty(); });
  });
}

// All blocks are taken; one thread frees one while another looks for one in vain. Whoever comes
// later finds it, without a search of the whole heap.
template <class P>
race::report found_again(race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& w = run.make<world<P>>(1);
    void* const p = w.heap.malloc(64);
    void* const q = w.heap.malloc(64);
    auto& late = run.make<std::array<void*, 1>>();
    run.thread("freer", [&w, p] { static_cast<void>(w.heap.free(p)); });
    run.thread("seeker", [&w, &late] { late[0] = w.heap.malloc(64); });
    run.after([&w, &late, q] {
      void* const more = late[0] == nullptr ? w.heap.malloc(64) : late[0];
      race::check(more != nullptr, "the free block is found");
      static_cast<void>(w.heap.free(more));
      static_cast<void>(w.heap.free(q));
      w.check_empty();
    });
  });
}

// A slab of two words is emptied by two threads while a third wants `bytes`, for which there is no
// room elsewhere.
template <class P>
race::report emptied(std::size_t bytes, race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& w = run.make<world<P>>(2);
    std::array<void*, 256> all{};  // the second half is what the shard draws from, and stays
    for (void*& p : all) { p = w.heap.malloc(16); }
    for (std::size_t i = 0; i < 128; ++i) {
      if (i % 64 != 0) { static_cast<void>(w.heap.free(all[i])); }
    }
    for (std::size_t const i : {std::size_t{0}, std::size_t{64}}) {
      run.thread([&w, p = all[i]] {
        use(p);
        race::check(w.heap.free(p).has_value(), "the block goes back once");
      });
    }
    run.thread([&w, bytes] {
      void* const p = w.heap.malloc(bytes);
      if (p != nullptr) {
        use(p, bytes);
        race::check(w.heap.free(p).has_value(), "what was found goes back");
      }
    });
    run.after([&w, all] {
      for (std::size_t i = 128; i < all.size(); ++i) { static_cast<void>(w.heap.free(all[i])); }
      w.check_empty();
    });
  });
}

// A large block and small ones want the same slabs.
template <class P>
race::report run_beside_blocks(race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& w = run.make<world<P>>(2);
    run.thread("large", [&w] {
      void* const p = w.heap.malloc(2 * P::slab_bytes);
      if (p != nullptr) {
        use(p, 2 * P::slab_bytes);
        race::check(w.heap.free(p).has_value(), "the run goes back once");
      }
    });
    run.thread("small", [&w] {
      void* const p = w.heap.malloc(64);
      if (p != nullptr) {
        use(p, 64);
        static_cast<void>(w.heap.free(p));
      }
    });
    run.after([&w] { w.check_empty(); });
  });
}

// Two threads free one block, which is the program's mistake: one of them is told.
template <class P>
race::report freed_twice(std::size_t bytes, race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    struct counts {
      std::uint32_t refused = 0;
    };
    auto& w = run.make<world<P>>(1);
    auto& sums = run.make<counts>();
    void* const p = w.heap.malloc(bytes);
    void* const q = bytes <= 64 ? w.heap.malloc(bytes) : nullptr;  // holds the slab
    for (int t = 0; t < 2; ++t) {
      run.thread([&w, &sums, p] {
        if (!w.heap.free(p)) { A::fetch_add(sums.refused, 1, race::relaxed, "refused"); }
      });
    }
    run.after([&w, &sums, q] {
      race::check(sums.refused == 1, "one free counts");
      static_cast<void>(w.heap.free(q));
      w.check_empty();
    });
  });
}

/// The update at `Site` is a load and a store: another's between them is lost.
template <race::site_name Site>
struct torn_update : A {
  template <class T>
  static T fetch_and(T& word, std::type_identity_t<T> bits, millrace::core::memory_order order,
                     char const* site) noexcept {
    if (!(Site == site)) { return A::fetch_and(word, bits, order, site); }
    T const seen = A::load(word, order, site);
    A::store(word, seen & bits, order, site);
    return seen;
  }
  template <class T>
  static T fetch_or(T& word, std::type_identity_t<T> bits, millrace::core::memory_order order,
                    char const* site) noexcept {
    if (!(Site == site)) { return A::fetch_or(word, bits, order, site); }
    T const seen = A::load(word, order, site);
    A::store(word, seen | bits, order, site);
    return seen;
  }
  template <class T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, std::type_identity_t<T> desired,
                                             millrace::core::memory_order success,
                                             millrace::core::memory_order failure,
                                             char const* site) noexcept {
    if (!(Site == site)) {
      return A::compare_exchange(word, expected, desired, success, failure, site);
    }
    T const seen = A::load(word, success, site);
    bool const same = seen == expected;
    expected = seen;
    if (same) { A::store(word, desired, success, site); }
    return same;
  }
};
/// The first thread's claims of 64 bytes believe that their slab is of that class still.
struct credulous : A {
  static inline bool claimed = false;

  template <class T>
  static T fetch_and(T& word, std::type_identity_t<T> bits, millrace::core::memory_order order,
                     char const* site) noexcept {
    T const seen = A::fetch_and(word, bits, order, site);
    if (race::this_thread() == 0) { claimed = std::string_view(site) == "kernel.claim"; }
    return seen;
  }
  template <class T>
  [[nodiscard]] static T load(T const& word, millrace::core::memory_order order,
                              char const* site) noexcept {
    T const seen = A::load(word, order, site);
    if (race::this_thread() != 0 || std::string_view(site) != "kernel.use") { return seen; }
    constexpr auto of_64 = memory::four_an_octave<64>::index_of(64);
    return std::exchange(claimed, false) ? static_cast<T>(of_64 + 1) : seen;
  }
};
/// Loads see the newest store: for what has too many states with the older ones.
race::options fresh(std::uint32_t preemptions) {
  race::options how = race::bounded(preemptions);
  how.history = 1;
  return how;
}

}  // namespace

TEST_CASE("kernel heap: threads share the blocks of a slab") {
  require_proven(churn<tiny<A>>({64, 64}, 2, 1, 1, race::bounded(3)), "2 threads, 1 slab");
  require_proven(churn<tiny<A>>({64, 64}, 2, 2, 1, race::bounded(1)), "2 turns");
  require_clean(churn<tiny<A>>({64, 64, 64}, 3, 1, 2, fresh(1)), "3 threads, 2 slabs");
}
TEST_CASE("kernel heap: blocks that another thread frees are taken again") {
  require_proven(freed_elsewhere<tiny<A>>(1, 1, race::bounded(3)), "1 block");
  require_proven(freed_elsewhere<tiny<A>>(2, 1, race::bounded(2)), "2 blocks");
  require_proven(freed_elsewhere<tiny<A>>(3, 2, race::bounded(2)), "3 blocks, 2 slabs");
}
TEST_CASE("kernel heap: a slab goes from class to class") {
  require_proven(churn<tiny<A>>({64, 16}, 2, 1, 1, race::bounded(2)), "2 classes, 1 slab");
  require_clean(churn<tiny<A>>({64, 16}, 2, 2, 1, fresh(2)), "2 turns");
  require_clean(churn<tiny<A>>({64, 16, 48}, 3, 1, 1, fresh(2)), "3 classes, 1 slab");
}
TEST_CASE("kernel heap: a slab of several words is emptied by several threads") {
  require_proven(emptied<two_words<A>>(16, race::bounded(1)), "and wanted by its class");
  require_proven(emptied<two_words<A>>(64, race::bounded(1)), "and wanted by another");
  require_proven(emptied<two_words<A>>(2048, race::bounded(1)), "and wanted whole");
}
TEST_CASE("kernel heap: a block that is freed is found by whoever looks later") {
  require_proven(found_again<tiny<A>>(), "1 freed, 1 looks");
}
TEST_CASE("kernel heap: large blocks and small ones") {
  require_proven(run_beside_blocks<tiny<A>>(race::bounded(3)), "2 slabs");
}
TEST_CASE("kernel heap: of two frees of one block one is refused") {
  require_proven(freed_twice<tiny<A>>(64), "of a class");
  require_proven(freed_twice<tiny<A>>(128), "a whole slab");
}

TEST_CASE("kernel heap: a relaxed order at any publishing place is found") {
  using race::weakened;
  auto const found = [](race::report const& r, char const* site) {
    require_found(r, {failure_kind::data_race, failure_kind::check},
                  std::string("relaxed ") + site);
  };
  race::options const few = race::bounded(2);
  found(freed_elsewhere<tiny<weakened<"kernel.claim">>>(1, 1), "kernel.claim");
  found(freed_elsewhere<tiny<weakened<"kernel.free">>>(1, 1), "kernel.free");
  found(churn<tiny<weakened<"kernel.retire">>>({64, 16}, 2, 1, 1), "kernel.retire");
  found(churn<tiny<weakened<"kernel.fill">>>({64, 16}, 2, 1, 1, few), "kernel.fill");
  found(emptied<two_words<weakened<"map.claim_one">>>(64, few), "map.claim_one");
  found(emptied<two_words<weakened<"map.claim">>>(2048, few), "map.claim");
  found(emptied<two_words<weakened<"map.release">>>(64, few), "map.release");
  found(found_again<tiny<weakened<"kernel.ready">>>(), "kernel.ready");
  found(found_again<tiny<weakened<"kernel.unready">>>(), "kernel.unready");
}
TEST_CASE("kernel heap: planted mistakes in the protocol are found") {
  auto const found = [](race::report const& r, char const* what) {
    require_found(r, {failure_kind::data_race, failure_kind::check}, what);
  };
  found(churn<tiny<torn_update<"kernel.claim">>>({64, 64}, 2, 1, 1), "two threads get one block");
  found(churn<tiny<torn_update<"kernel.free">>>({64, 64}, 2, 1, 1), "a free is lost");
  found(churn<tiny<torn_update<"map.claim_one">>>({64, 16, 48}, 3, 1, 2, race::bounded(1)),
        "two classes have one slab");
  found(emptied<two_words<torn_update<"kernel.retire">>>(16, race::bounded(2)),
        "a slab leaves with a block in use");
  found(freed_twice<tiny<torn_update<"kernel.run">>>(128), "a run goes back twice");
  found(found_again<tiny<torn_update<"kernel.ready">>>(), "a free block is forgotten");
  found(churn<tiny<credulous>>({64, 16}, 2, 1, 1), "a claim that does not look at the class");
}
