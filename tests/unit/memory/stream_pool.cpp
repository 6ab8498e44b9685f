// SPDX-License-Identifier: Apache-2.0
#include "tests/tier.hpp"
#include "tests/unit/memory/simulated_streams.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/memory/budget.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/memory/graph_memory.hpp>
#include <millrace/memory/stream_pool.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;
using millrace_test::event_faults;
using millrace_test::simulated_device;
using millrace_test::simulated_streams;
using millrace_test::watched_resource;

namespace {

/// Small, so that a short program meets every edge.
struct small_pool : memory::default_stream_pool {
  using classes = memory::four_an_octave<2048>;
  static constexpr std::uint32_t most_streams = 6;
  static constexpr std::size_t magazine_bytes = 1024;
  static constexpr std::size_t least_span_bytes = 1024;
  static constexpr std::size_t most_span_bytes = 4096;
  static constexpr std::uint32_t frees_an_event = 4;
};

/// So many that a run's part of them has no number.
struct endless_pool : small_pool {
  static constexpr std::uint32_t frees_an_event = ~std::uint32_t{0};
};
static_assert(memory::stream_pool_policy<small_pool>);
static_assert(!memory::stream_pool_policy<endless_pool>);

/// Whose classes call something each time that a count asks for the largest block's size.
struct interrupted_pool : small_pool {
  struct classes : memory::four_an_octave<2048> {
    [[nodiscard]] static constexpr std::size_t bytes_of(std::uint32_t index) noexcept {
      if (!std::is_constant_evaluated() && index == count - 1 && meanwhile) { meanwhile(); }
      return memory::four_an_octave<2048>::bytes_of(index);
    }
  };
  static inline std::function<void()> meanwhile;
};

using counted = memory::counting_resource<>;
using failing = memory::failing_resource<counted>;
using upstream = watched_resource<failing>;
struct small_checked_pool : small_pool {
  static constexpr bool checks_frees = true;
};
template <class Model = simulated_streams>
using pool_of = memory::stream_pool<upstream, Model, small_pool>;
using checked_pool = memory::stream_pool<upstream, simulated_streams, small_checked_pool>;

/// What a pool stands on.
struct ground {
  simulated_device device;
  memory::allocation_counts counts;
  memory::failure_plan plan;
  event_faults faults;
  std::uint64_t early = 0;
  std::uint64_t steps_a_pause = 1;

  [[nodiscard]] upstream from() { return {failing(plan, counted(counts)), &device, &early}; }
  [[nodiscard]] simulated_streams streams() { return {&device, &faults, &steps_a_pause}; }
  /// Everything went back, and not too early.
  void check_empty() const {
    CHECK(counts.live == 0);
    CHECK(early == 0);
    CHECK(device.broken == 0);
    CHECK(device.captured_records == 0);
    CHECK(device.live_events == 0);
  }
};

struct block {
  std::size_t bytes;
  std::size_t alignment;
  std::optional<std::uint32_t> last;  ///< the stream whose work used it last
  std::byte mark;
};

/// What a random program does beyond allocating and freeing.
struct habits {
  std::uint32_t streams = 3;
  std::uint32_t operations = 3000;
  std::uint32_t most_live = 60;
  bool captures = false;
  bool leaves = false;       ///< streams are destroyed and made anew
  bool joins_before = true;  ///< a free on another stream waits for the last use: else it is a bug
  std::uint64_t upstream_fails_one_in = 0;
  std::uint64_t events_fail_one_in = 0;
  std::uint64_t budget_bytes = ~std::uint64_t{0};
};

struct outcome {
  std::uint64_t wrong = 0;  ///< blocks handed out while earlier work used them
  std::uint64_t refused = 0;
  std::uint64_t allocated = 0;
  memory::stream_pool_counts counts;
};

/// A program over a pool: it knows what is live, and asks the device about every block that it
/// gets.
template <class Pool>
class program {
 public:
  program(ground& on, Pool& pool, habits how, std::uint64_t seed)
      : on_{on}, pool_{pool}, how_{how}, rng_{seed} {
    for (std::uint32_t i = 0; i < how.streams; ++i) { streams_.push_back(on.device.create()); }
  }

  outcome run() {
    on_.plan.fail_one_in = how_.upstream_fails_one_in;
    on_.plan.budget_bytes = how_.budget_bytes;
    on_.faults.one_in = how_.events_fail_one_in;
    for (std::uint32_t i = 0; i < how_.operations; ++i) { step(); }
    on_.plan.fail_one_in = on_.faults.one_in = 0;
    for (std::uint32_t const s : streams_) { on_.device.end_capture(s); }
    while (!live_.empty()) { free_one(); }
    on_.device.finish();
    out_.counts = pool_.counts();
    return out_;
  }

 private:
  [[nodiscard]] std::uint64_t below(std::uint64_t n) { return core::below(rng_, n); }
  [[nodiscard]] std::uint32_t any_stream() { return streams_[below(streams_.size())]; }
  [[nodiscard]] bool captures(std::uint32_t s) const { return on_.device.capture(s) != 0; }

  void step() {
    std::uint64_t const dice = below(100);
    if (dice < 40) {
      allocate_one();
    } else if (dice < 72) {
      if (!live_.empty()) { free_one(); }
    } else if (dice < 90) {
      on_.device.advance(any_stream(), 1 + below(12));
    } else if (dice < 94) {
      move_one();
    } else if (dice < 96) {
      static_cast<void>(pool_.flush());
    } else if (dice < 97) {
      pool_.trim(below(20'000));
    } else if (dice < 98 && how_.captures) {
      std::uint32_t const s = any_stream();
      captures(s) ? on_.device.end_capture(s) : on_.device.begin_capture(s);
    } else if (dice < 99 && how_.leaves) {
      replace_one();
    } else {
      check_counts();
    }
  }

  void allocate_one() {
    if (live_.size() >= how_.most_live) { return; }
    std::size_t const bytes = below(8) == 0 ? 1 + below(9000) : 1 + below(500);
    std::size_t const alignment = std::size_t{1} << below(9);
    bool const ordered = below(16) != 0;
    std::uint32_t const s = any_stream();
    auto got = ordered ? pool_.try_allocate(bytes, alignment, s)
                       : pool_.unordered().try_allocate(bytes, alignment);
    if (!got && got.error().code == errc::full) {  // those that left have work to do
      CHECK(how_.leaves);
      on_.device.finish();
      return;
    }
    if (ordered && captures(s)) {
      REQUIRE(!got);
      CHECK(got.error().code == errc::busy);
      return;
    }
    if (!got) {
      ++out_.refused;
      CHECK(got.error().code == errc::out_of_memory);
      CHECK((how_.upstream_fails_one_in != 0 || how_.budget_bytes != ~std::uint64_t{0}));
      return;
    }
    ++out_.allocated;
    CHECK(reinterpret_cast<std::uintptr_t>(*got) % alignment == 0);
    out_.wrong += on_.device.hand_out(ordered ? &s : nullptr, *got, bytes) ? 0 : 1;
    auto* const p = static_cast<std::byte*>(*got);
    auto const after = live_.lower_bound(p);
    CHECK((after == live_.end() || p + bytes <= after->first));
    if (after != live_.begin()) {
      auto const& [at, before] = *std::prev(after);
      CHECK(at + before.bytes <= p);
    }
    auto const mark = static_cast<std::byte>(below(256));
    std::memset(p, static_cast<int>(mark), bytes);
    std::uint32_t const user = ordered ? s : any_stream();
    bool const uses = !captures(user) && below(8) != 0;
    if (uses) { on_.device.use(user, p, bytes); }
    std::optional<std::uint32_t> last;
    if (uses || ordered) { last = user; }
    live_.emplace(p, block{bytes, alignment, last, mark});
  }

  /// Another stream's work uses a block.
  void move_one() {
    if (live_.empty()) { return; }
    auto& [p, b] = *pick();
    std::uint32_t const to = any_stream();
    if (captures(to) || (b.last && captures(*b.last))) { return; }
    if (b.last && *b.last != to) { on_.device.join(to, *b.last); }
    on_.device.use(to, p, b.bytes);
    b.last = to;
  }

  void free_one() {
    auto const at = pick();
    auto const& [p, b] = *at;
    for (std::size_t i = 0; i < b.bytes; ++i) {
      if (p[i] != b.mark) {
        FAIL("a live block changed");
        break;
      }
    }
    if (!b.last) {  // no stream has it
      CHECK(pool_.unordered().try_deallocate(p, b.bytes, b.alignment));
      live_.erase(at);
      return;
    }
    std::uint32_t const on = below(3) == 0 ? any_stream() : *b.last;
    if (on != *b.last && how_.joins_before && !captures(on)) {
      if (captures(*b.last)) { return; }
      on_.device.join(on, *b.last);
    }
    auto const done = pool_.deallocate(p, b.bytes, b.alignment, on);
    if (!done && done.error().code == errc::full) {
      CHECK(how_.leaves);
      on_.device.finish();
      return;
    }
    if (captures(on)) {
      REQUIRE(!done);
      CHECK(done.error().code == errc::busy);
      return;
    }
    REQUIRE(done);
    live_.erase(at);
  }

  /// A stream leaves, and another gets its handle.
  void replace_one() {
    if (!on_.device.can_create()) { return; }
    std::uint64_t const i = below(streams_.size());
    std::uint32_t const s = streams_[i];
    if (captures(s)) { return; }
    std::uint32_t const other = streams_[(i + 1) % streams_.size()];
    if (other != s && captures(other)) { return; }
    if (auto const left = pool_.unbind(s); !left && left.error().code != errc::bad_argument) {
      CHECK(how_.events_fail_one_in != 0);
      return;
    }
    if (other == s) {
      on_.device.synchronise();
    } else {
      on_.device.join(other, s);
    }
    on_.device.destroy(s);
    streams_[i] = on_.device.create();
    for (auto& [p, b] : live_) {
      if (b.last == s) { b.last = other == s ? streams_[i] : other; }
    }
  }

  void check_counts() {
    auto const c = pool_.counts();
    CHECK(c.live == live_.size());
    CHECK(c.live_bytes + c.all.cached_bytes <= c.reserved_bytes);
    CHECK(c.reserved_bytes == on_.counts.live_bytes);
    CHECK(c.peak_bytes >= c.live_bytes);
    CHECK(c.peak_reserved_bytes >= c.reserved_bytes);
  }

  [[nodiscard]] std::map<std::byte*, block>::iterator pick() {
    auto at = live_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(below(live_.size())));
    return at;
  }

  ground& on_;
  Pool& pool_;
  habits how_;
  core::xoshiro_rng rng_;
  std::vector<std::uint32_t> streams_;
  std::map<std::byte*, block> live_;
  outcome out_;
};

template <class Model = simulated_streams, class Pool = pool_of<Model>>
outcome run_program(habits how, std::uint64_t seed, memory::stream_pool_options options = {}) {
  ground on;
  outcome out;
  {
    Model model{};
    static_cast<simulated_streams&>(model) = on.streams();
    Pool pool(on.from(), model, options);
    program<Pool> work(on, pool, how, seed);
    out = work.run();
    if (how.joins_before && std::is_same_v<Model, simulated_streams>) {
      CHECK(out.wrong == 0);
      CHECK(out.counts.live == 0);
      CHECK(out.counts.live_bytes == 0);
      pool.trim(0);  // all is free and done: nothing is lost
      CHECK(pool.counts().reserved_bytes == 0);
      CHECK(on.counts.live == 0);
    }
  }
  if (how.joins_before && std::is_same_v<Model, simulated_streams>) { on.check_empty(); }
  return out;
}

std::uint64_t seeds() { return millrace_test::long_tier() ? 400 : 24; }

/// Says that everything is done.
struct hasty_streams : simulated_streams {
  [[nodiscard]] millrace::result<bool> done(event) const noexcept { return true; }
};
/// Records nothing anew: the event stays where it was first.
struct stale_streams : simulated_streams {
  [[nodiscard]] millrace::result<void> order(stream, event) const noexcept { return {}; }
};

/// Does something else while a stream's lock is held.
struct interrupted_streams : simulated_streams {
  std::function<void()>* within_record = nullptr;

  [[nodiscard]] millrace::result<void> record(event e, stream s) const noexcept {
    if (auto const run = std::exchange(*within_record, {})) { run(); }
    return simulated_streams::record(e, s);
  }
};

}  // namespace

TEST_CASE("stream_pool: random programs over one to four streams never meet earlier work") {
  std::uint64_t stolen = 0, recorded = 0, frees = 0;
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    for (std::uint32_t streams = 1; streams <= 4; ++streams) {
      habits how;
      how.streams = streams;
      how.leaves = seed % 2 == 0;
      how.captures = seed % 3 == 0;
      auto const out = run_program(how, seed * 8 + streams);
      CHECK(out.refused == 0);
      stolen += out.counts.all.stolen;
      recorded += out.counts.all.events_recorded;
      frees += out.counts.all.frees;
    }
  }
  CHECK(stolen > 100);
  CHECK(recorded > 100);
  CHECK(recorded < frees / 2);
}

TEST_CASE("stream_pool: within a small budget programs steal, trim and fail, and lose nothing") {
  std::uint64_t refused = 0, ordered = 0;
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    for (int mode = 0; mode < 4; ++mode) {
      habits how;
      how.streams = 3;
      how.leaves = seed % 2 == 0;
      how.captures = seed % 3 == 0;
      how.budget_bytes = 60'000;
      memory::stream_pool_options options;
      options.order_after_others = mode % 2 == 1;
      options.wait_ns = mode / 2 == 1 ? 5'000 : 0;
      options.release_threshold_bytes = seed % 4 == 0 ? 10'000 : options.release_threshold_bytes;
      auto const out = run_program(how, seed * 4 + static_cast<std::uint64_t>(mode), options);
      refused += out.refused;
      ordered += out.counts.all.ordered;
      CHECK(out.allocated > 200);
    }
  }
  CHECK(refused > 0);
  CHECK(ordered > 0);
}

TEST_CASE("stream_pool: failures of upstream and of events are errors or waits, never losses") {
  std::uint64_t refused = 0, failed = 0;
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    for (std::uint32_t streams = 1; streams <= 4; ++streams) {
      habits how;
      how.streams = streams;
      how.leaves = seed % 2 == 0;
      how.captures = seed % 3 == 0;
      how.upstream_fails_one_in = seed % 4 == 0 ? 0 : 3;
      how.events_fail_one_in = seed % 5 == 0 ? 0 : 3;
      memory::stream_pool_options options;
      options.order_after_others = seed % 2 == 1;
      auto const out = run_program(how, seed * 4 + streams, options);
      refused += out.refused;
      failed += out.counts.all.event_failures;
    }
  }
  CHECK(refused > 0);
  CHECK(failed > 0);
}

TEST_CASE(
    "stream_pool: the simulated device finds a model that lies and a free on a wrong stream") {
  habits how;
  how.streams = 3;
  how.budget_bytes = 40'000;
  memory::stream_pool_options options;
  options.order_after_others = true;
  std::uint64_t hasty = 0, stale = 0, careless = 0;
  habits wrong = how;
  wrong.joins_before = false;
  // Where upstream's blocks lie decides what a pool reuses first, so no single seed must show it.
  for (std::uint64_t seed = 1; seed <= 64 && (hasty == 0 || stale == 0 || careless == 0); ++seed) {
    hasty += run_program<hasty_streams>(how, seed).wrong;
    stale += run_program<stale_streams>(how, seed, options).wrong;
    careless += run_program(wrong, seed).wrong;
  }
  CHECK(hasty > 0);
  CHECK(stale > 0);
  CHECK(careless > 0);
}

TEST_CASE("stream_pool: a stream has its own blocks back at once and records nothing") {
  ground on;
  std::uint32_t const s = on.device.create();
  {
    pool_of<> pool(on.from(), on.streams());
    for (std::size_t const bytes : {16, 500, 2048, 5000}) {
      void* const first = *pool.try_allocate(bytes, 16, s);
      for (int i = 0; i < 100; ++i) {
        on.device.use(s, first, bytes);
        CHECK(pool.deallocate(first, bytes, 16, s));
        CHECK(*pool.try_allocate(bytes, 16, s) == first);
      }
      CHECK(pool.deallocate(first, bytes, 16, s));
    }
    auto const c = pool.counts();
    CHECK(c.all.allocations == 404);
    CHECK(c.all.frees == 404);
    CHECK(c.all.events_recorded == 0);
    CHECK(on.counts.total == 4);
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE(
    "stream_pool: frees beyond the magazines share events, and one event serves many blocks") {
  ground on;
  std::uint32_t const a = on.device.create(), b = on.device.create();
  {
    memory::stream_pool<upstream, simulated_streams> pool(on.from(), on.streams());
    std::vector<void*> blocks;
    for (int i = 0; i < 3200; ++i) { blocks.push_back(*pool.try_allocate(256, 256, a)); }
    for (void* p : blocks) { on.device.use(a, p, 256); }
    for (void* p : blocks) { CHECK(pool.deallocate(p, 256, 256, a)); }
    std::uint64_t const events = pool.counts(a)->events_recorded;
    CHECK(events >= 90);
    CHECK(events <= 100);

    std::uint64_t const before = on.counts.total;
    void* p = *pool.try_allocate(256, 256, b);  // nothing of a's is done: from upstream
    CHECK(on.counts.total == before + 1);
    CHECK(pool.counts(b)->stolen == 0);
    on.device.finish();
    std::vector<void*> mine{p};
    while (pool.counts(b)->stolen < 1000) {
      mine.push_back(*pool.try_allocate(256, 256, b));
      CHECK(on.device.hand_out(&b, mine.back(), 256));
    }
    CHECK(on.counts.total == before + 1);
    for (void* q : mine) { CHECK(pool.deallocate(q, 256, 256, b)); }
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE("stream_pool: a block that went from stream to stream carries each one's work along") {
  ground on;
  std::uint32_t s[3];
  for (auto& one : s) { one = on.device.create(); }
  {
    memory::stream_pool_options options;
    options.order_after_others = true;
    on.plan.budget_bytes = 1024;  // one span of one block
    pool_of<> pool(on.from(), on.streams(), options);
    void* const p = *pool.try_allocate(1024, 16, s[0]);
    on.device.use(s[0], p, 1024);
    CHECK(pool.deallocate(p, 1024, 16, s[0]));
    // the second stream waits for the first and does nothing itself; the third waits for it alone
    CHECK(*pool.try_allocate(1024, 16, s[1]) == p);
    CHECK(on.device.hand_out(&s[1], p, 1024));
    CHECK(pool.deallocate(p, 1024, 16, s[1]));
    CHECK(*pool.try_allocate(1024, 16, s[2]) == p);
    CHECK(on.device.hand_out(&s[2], p, 1024));
    CHECK(pool.counts().all.ordered == 2);
    CHECK(pool.deallocate(p, 1024, 16, s[2]));
    // and the first gets it back although it was never told of the others' end
    CHECK(*pool.try_allocate(1024, 16, s[0]) == p);
    CHECK(on.device.hand_out(&s[0], p, 1024));
    CHECK(pool.deallocate(p, 1024, 16, s[0]));
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE("stream_pool: out of memory refuses, waits no longer than it may, or orders the stream") {
  ground on;
  std::uint32_t const a = on.device.create(), b = on.device.create();
  on.plan.budget_bytes = 4096;
  auto const second = [&](memory::stream_pool_options options, std::uint64_t steps_a_pause) {
    on.steps_a_pause = steps_a_pause;
    pool_of<> pool(on.from(), on.streams(), options);
    void* const p = *pool.try_allocate(4000, 16, a);  // a run: the whole budget
    for (int i = 0; i < 20; ++i) { on.device.use(a, p, 4000); }
    CHECK(pool.deallocate(p, 4000, 16, a));
    auto got = pool.try_allocate(4000, 16, b);
    if (got) {
      CHECK(on.device.hand_out(&b, *got, 4000));
      CHECK(pool.deallocate(*got, 4000, 16, b));
    }
    auto const c = pool.counts();
    CHECK(c.all.ordered == (got && options.order_after_others ? 1 : 0));
    on.device.synchronise();
    return got ? errc::ok : got.error().code;
  };
  memory::stream_pool_options options;
  CHECK(second(options, 1) == errc::out_of_memory);
  CHECK(on.device.now_ns == 0);
  options.wait_ns = 30'000;
  CHECK(second(options, 1) == errc::ok);  // 20 pauses of a microsecond
  std::uint64_t const before = on.device.now_ns;
  CHECK(second(options, 0) == errc::out_of_memory);  // the work never ends, the wait does
  CHECK(on.device.now_ns == before + 30'000);
  options.wait_ns = ~std::uint64_t{0};  // as long as it takes
  CHECK(second(options, 1) == errc::ok);
  options.wait_ns = 0;
  options.order_after_others = true;
  CHECK(second(options, 0) == errc::ok);
  on.check_empty();
}

TEST_CASE("stream_pool: out of memory, blocks of another class and of idle streams are found") {
  ground on;
  std::uint32_t const a = on.device.create(), b = on.device.create();
  on.plan.budget_bytes = 8192;
  {
    pool_of<> pool(on.from(), on.streams());
    std::vector<void*> blocks;
    while (auto const got = pool.try_allocate(64, 16, a)) { blocks.push_back(*got); }
    CHECK(blocks.size() == 128);
    for (void* p : blocks) { CHECK(pool.deallocate(p, 64, 16, a)); }
    CHECK(pool.try_allocate(64, 16, b));    // out of a's magazine
    CHECK(pool.try_allocate(2048, 16, b));  // out of a's spans, given back
    CHECK(on.counts.live_bytes <= 8192);
    CHECK(pool.counts().live == 2);
  }
}

/// Calls something each time that its upstream refuses, before it says so.
struct upstream_with_others {
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = true;
  upstream of;
  std::function<void()>* meanwhile;

  [[nodiscard]] millrace::result<void*> try_allocate(std::size_t bytes,
                                                     std::size_t alignment) noexcept {
    auto const got = of.try_allocate(bytes, alignment);
    if (!got && *meanwhile) { (*meanwhile)(); }
    return got;
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    of.deallocate(p, bytes, alignment);
  }
  [[nodiscard]] friend bool operator==(upstream_with_others const& a,
                                       upstream_with_others const& b) {
    return a.of == b.of;
  }
};

TEST_CASE("stream_pool: out of memory, what another thread's trim gave back is found") {
  ground on;
  std::uint32_t const a = on.device.create(), b = on.device.create();
  on.plan.budget_bytes = 8192;
  std::function<void()> meanwhile;
  {
    memory::stream_pool<upstream_with_others, simulated_streams, small_pool> pool(
        {on.from(), &meanwhile}, on.streams());
    std::vector<void*> blocks;
    while (auto const got = pool.try_allocate(64, 16, a)) { blocks.push_back(*got); }
    for (void* p : blocks) { CHECK(pool.deallocate(p, 64, 16, a)); }
    meanwhile = [&] { pool.trim(0); };
    auto const got = pool.try_allocate(2048, 16, b);
    meanwhile = nullptr;
    REQUIRE(got);
    CHECK(pool.deallocate(*got, 2048, 16, b));
  }
  on.check_empty();
}

TEST_CASE("stream_pool: trim keeps what it is told to, and what is in use") {
  ground on;
  std::uint32_t const a = on.device.create();
  {
    pool_of<> pool(on.from(), on.streams());
    std::vector<void*> blocks;
    for (int i = 0; i < 64; ++i) { blocks.push_back(*pool.try_allocate(1024, 16, a)); }
    std::uint64_t const all = pool.counts().reserved_bytes;
    CHECK(all == 64 * 1024);
    CHECK(pool.trim(0) == 0);
    for (void* p : blocks) { on.device.use(a, p, 1024); }
    for (void* p : blocks) { CHECK(pool.deallocate(p, 1024, 16, a)); }
    CHECK(pool.trim(0) == 0);  // free, but not done
    on.device.finish();
    CHECK(pool.trim(20'000) == all - 16'384);
    CHECK(pool.counts().reserved_bytes <= 20'000);
    CHECK(pool.trim(0) == 16'384);
    CHECK(pool.counts().peak_reserved_bytes == all);
    CHECK(on.counts.live == 0);
  }
  on.check_empty();
}

TEST_CASE("stream_pool: above its release threshold a pool gives back as frees go on") {
  ground on;
  std::uint32_t const a = on.device.create();
  {
    memory::stream_pool_options options;
    options.release_threshold_bytes = 16'384;
    options.most_run_bytes = 20'000;
    pool_of<> pool(on.from(), on.streams(), options);
    for (std::size_t const bytes : {256, 9000}) {
      std::vector<void*> blocks;
      for (int i = 0; i < 1000; ++i) { blocks.push_back(*pool.try_allocate(bytes, 16, a)); }
      for (void* p : blocks) { CHECK(pool.deallocate(p, bytes, 16, a)); }
      CHECK(pool.counts().live == 0);
      CHECK(pool.counts().reserved_bytes < 200'000);
    }
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE("stream_pool: what was in use when the pool first looked goes back at later frees") {
  ground on;
  std::uint32_t const a = on.device.create();
  {
    memory::stream_pool_options options;
    options.release_threshold_bytes = 16'384;
    pool_of<> pool(on.from(), on.streams(), options);
    std::vector<void*> blocks;
    for (int i = 0; i < 100; ++i) { blocks.push_back(*pool.try_allocate(9000, 16, a)); }
    for (void* p : blocks) {
      on.device.use(a, p, 9000);
      CHECK(pool.deallocate(p, 9000, 16, a));
    }
    CHECK(pool.counts().reserved_bytes >= 900'000);  // the work is not done
    on.device.synchronise();
    for (int i = 0; i < 100; ++i) {
      void* const p = *pool.try_allocate(9000, 16, a);
      CHECK(pool.deallocate(p, 9000, 16, a));
    }
    CHECK(pool.counts().reserved_bytes < 50'000);
  }
  on.check_empty();
}

TEST_CASE("stream_pool: free runs of a stream that frees no more are within the limit too") {
  ground on;
  std::uint32_t const a = on.device.create(), b = on.device.create();
  {
    memory::stream_pool_options options;
    options.most_run_bytes = 20'000;
    pool_of<> pool(on.from(), on.streams(), options);
    std::vector<void*> blocks;
    for (int i = 0; i < 20; ++i) { blocks.push_back(*pool.try_allocate(9000, 16, a)); }
    for (void* p : blocks) {
      on.device.use(a, p, 9000);
      CHECK(pool.deallocate(p, 9000, 16, a));
    }
    CHECK(pool.counts().reserved_bytes > 180'000);  // the work is not done
    on.device.synchronise();
    CHECK(pool.deallocate(*pool.try_allocate(5000, 16, b), 5000, 16, b));
    CHECK(pool.counts().reserved_bytes <= 20'000);
  }
  on.check_empty();
}

TEST_CASE("stream_pool: a count beside calls on several streams never has less than nothing live") {
  ground on;
  std::uint32_t const a = on.device.create(), b = on.device.create(), c = on.device.create();
  {
    memory::stream_pool<upstream, simulated_streams, interrupted_pool> pool(on.from(),
                                                                            on.streams());
    CHECK(pool.deallocate(*pool.try_allocate(64, 16, a), 64, 16, a));
    REQUIRE(pool.bind(b));
    REQUIRE(pool.bind(c));
    int shards = 0;
    interrupted_pool::meanwhile = [&] {
      if (++shards != 3) { return; }  // b's: a's is counted by now, c's is not
      CHECK(pool.deallocate(*pool.try_allocate(64, 16, a), 64, 16, c));
    };
    auto const seen = pool.counts();
    interrupted_pool::meanwhile = nullptr;
    CHECK(shards == 4);
    CHECK(seen.all.allocations == 1);
    CHECK(seen.all.frees == 2);
    CHECK(seen.live == 0);
    CHECK(seen.live_bytes == 0);
    CHECK(seen.peak_bytes <= 64);
    CHECK(pool.counts().live == 0);
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE("stream_pool: bad input is refused with the argument's number and changes nothing") {
  ground on;
  std::uint32_t const a = on.device.create();
  {
    pool_of<> pool(on.from(), on.streams());
    auto const is = [](auto const& r, std::int32_t argument) {
      return !r &&
             r.error() == millrace::error{errc::bad_argument, core::origin::millrace, argument};
    };
    CHECK(is(pool.try_allocate(0, 16, a), 1));
    CHECK(is(pool.try_allocate(16, 3, a), 2));
    CHECK(is(pool.try_allocate(16, 512, a), 2));
    CHECK(is(pool.try_allocate(16, 16, 7), 3));
    CHECK(is(pool.bind(7), 1));
    CHECK(is(pool.unbind(a), 1));
    CHECK(is(pool.counts(a), 1));
    on.plan.budget_bytes = std::size_t{1} << 30;
    CHECK(pool.try_allocate(std::size_t{1} << 62, 16, a).error().code == errc::out_of_memory);
    CHECK(pool.try_allocate(~std::size_t{0}, 16, a).error().code == errc::out_of_memory);
    void* const p = *pool.try_allocate(16, 16, a);
    CHECK(is(pool.deallocate(nullptr, 16, 16, a), 1));
    CHECK(is(pool.deallocate(p, 0, 16, a), 2));
    CHECK(is(pool.deallocate(p, 16, 48, a), 3));
    CHECK(is(pool.deallocate(p, 16, 16, 7), 4));
    CHECK(pool.counts().live == 1);
    CHECK(pool.deallocate(p, 16, 16, a));
    CHECK(pool.counts().streams == 1);
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE("stream_pool: so many streams and no more, until one that has left is at rest") {
  ground on;
  std::vector<std::uint32_t> all;
  for (int i = 0; i < 7; ++i) { all.push_back(on.device.create()); }
  {
    pool_of<> pool(on.from(), on.streams());
    for (int i = 0; i < 6; ++i) { CHECK(pool.bind(all[static_cast<std::size_t>(i)])); }
    CHECK(pool.bind(all[0]));  // again
    CHECK(pool.bind(all[6]).error().code == errc::full);
    void* const p = *pool.try_allocate(16, 16, all[0]);
    on.device.use(all[0], p, 16);
    CHECK(pool.deallocate(p, 16, 16, all[0]));
    CHECK(pool.unbind(all[0]));
    on.device.destroy(all[0]);
    CHECK(pool.bind(all[6]).error().code == errc::full);  // its work goes on
    on.device.finish();
    CHECK(pool.bind(all[6]));
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE("stream_pool: a capturing stream is refused, left alone, and served again afterwards") {
  ground on;
  std::uint32_t const a = on.device.create(), b = on.device.create();
  {
    pool_of<> pool(on.from(), on.streams());
    auto here = *pool.bind(a);
    std::vector<void*> blocks;
    for (int i = 0; i < 40; ++i) { blocks.push_back(*here.try_allocate(64, 16)); }
    for (int i = 1; i < 40; ++i) {
      on.device.use(a, blocks[static_cast<std::size_t>(i)], 64);
      CHECK(here.try_deallocate(blocks[static_cast<std::size_t>(i)], 64, 16));
    }
    on.device.begin_capture(a);
    CHECK(here.try_allocate(64, 16).error() ==
          millrace::error{errc::busy, core::origin::millrace, 3});
    CHECK(here.try_deallocate(blocks[0], 64, 16).error() ==
          millrace::error{errc::busy, core::origin::millrace, 4});
    here.deallocate(blocks[0], 64, 16);
    CHECK(pool.counts().all.refused_frees == 1);
    CHECK(pool.flush().error().code == errc::busy);
    CHECK(pool.unbind(a).error().code == errc::busy);
    pool.trim(0);
    CHECK(pool.try_allocate(64, 16, b));  // another stream looks into the capturing one
    CHECK(pool.counts().live == 2);
    on.device.end_capture(a);
    CHECK(here.try_deallocate(blocks[0], 64, 16));
    CHECK(pool.flush());
    on.device.synchronise();
  }
  CHECK(on.device.captured_records == 0);
}

TEST_CASE("graph_memory: blocks are the graph's to its end, and one graph's alone") {
  ground on;
  std::uint32_t const a = on.device.create(), b = on.device.create();
  {
    pool_of<> pool(on.from(), on.streams());
    using graph = memory::graph_memory<pool_of<>::handle, simulated_streams>;
    {
      graph blocks(pool.unordered(), on.streams());
      CHECK(blocks.try_allocate(100, 16, a).error().native == 3);  // it does not capture
      // a capture that got nothing is not the graph's
      on.device.begin_capture(b);
      CHECK(blocks.deallocate(&on, 100, 16, b).error().native == 1);
      on.plan.budget_bytes = 0;
      CHECK(blocks.try_allocate(100, 16, b).error().code == errc::out_of_memory);
      on.plan.budget_bytes = ~std::uint64_t{0};
      on.device.end_capture(b);
      on.device.begin_capture(a);
      void* const p = *blocks.try_allocate(100, 16, a);
      CHECK(on.device.hand_out(nullptr, p, 100));
      CHECK(blocks.deallocate(p, 50, 16, a).error().native == 2);
      CHECK(blocks.deallocate(&on, 100, 16, a).error().native == 1);
      CHECK(blocks.deallocate(p, 100, 16, a));
      CHECK(blocks.deallocate(p, 100, 16, a).error().native == 1);
      CHECK(*blocks.try_allocate(80, 16, a) == p);
      void* const q = *blocks.try_allocate(80, 16, a);
      CHECK(q != p);
      CHECK(blocks.bytes() == 180);
      on.device.begin_capture(b);  // another graph
      CHECK(blocks.try_allocate(100, 16, b).error().native == 3);
      on.device.end_capture(a);
      on.device.end_capture(b);
      CHECK(blocks.deallocate(p, 80, 16, a).error().native == 4);
      // while the graph may run, nobody gets its blocks
      for (int i = 0; i < 100; ++i) {
        void* const other = *pool.try_allocate(80, 16, a);
        CHECK(other != p);
        CHECK(other != q);
      }
      CHECK(pool.counts().live == 102);
    }
    CHECK(pool.counts().live == 100);
  }
}

TEST_CASE("stream_pool: a handle is a resource for buffers") {
  ground on;
  std::uint32_t const a = on.device.create();
  {
    pool_of<> pool(on.from(), on.streams());
    {
      auto made = memory::buffer<int, pool_of<>::handle>::make(100, *pool.bind(a));
      REQUIRE(made);
      CHECK(pool.counts(a)->allocations == 1);
    }
    CHECK(pool.counts().live == 0);
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE("stream_pool: a pair on one stream needs no lock that another stream holds") {
  ground on;
  std::uint32_t const a = on.device.create(), b = on.device.create();
  {
    std::function<void()> within;
    interrupted_streams model{on.streams(), &within};
    pool_of<interrupted_streams> pool(on.from(), model);
    auto there = *pool.bind(a), here = *pool.bind(b);
    std::vector<void*> mine, theirs;
    for (int i = 0; i < 16; ++i) { mine.push_back(*here.try_allocate(64, 16)); }
    for (void* p : mine) { CHECK(here.try_deallocate(p, 64, 16)); }
    for (int i = 0; i < 64; ++i) { theirs.push_back(*there.try_allocate(64, 16)); }
    int pairs = 0;
    within = [&] {  // with a lock in common this would never end
      for (; pairs < 100; ++pairs) {
        auto const p = here.try_allocate(64, 16);
        if (!p || !here.try_deallocate(*p, 64, 16)) { return; }
      }
    };
    for (void* p : theirs) { CHECK(there.try_deallocate(p, 64, 16)); }
    CHECK(pairs == 100);
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE("stream_pool: a checked pool refuses wrong frees, and they change nothing") {
  ground on;
  std::uint32_t const a = on.device.create();
  {
    checked_pool pool(on.from(), on.streams());
    auto const native = [&](void* p, std::size_t bytes) {
      auto const done = pool.deallocate(p, bytes, 16, a);
      return done ? 0 : done.error().native;
    };
    for (std::size_t const bytes : {std::size_t{48}, std::size_t{5000}}) {
      auto* const p = static_cast<std::byte*>(*pool.try_allocate(bytes, 16, a));
      std::byte foreign[64];
      CHECK(native(foreign, bytes) == 1);
      CHECK(native(p + 16, bytes) == 1);
      CHECK(native(p, 4 * bytes) == 2);
      CHECK(pool.counts().live == 1);
      CHECK(native(p, bytes) == 0);
      CHECK(native(p, bytes) == 1);
      CHECK(*pool.try_allocate(bytes, 16, a) == p);
      CHECK(native(p, bytes) == 0);
    }
    auto* const p = static_cast<std::byte*>(*pool.try_allocate(48, 16, a));
    CHECK(native(p + 48, 48) == 1);  // a block that nobody has
    CHECK(native(p, 48) == 0);
    CHECK(pool.counts().live == 0);
    on.device.synchronise();
  }
  on.check_empty();
}

TEST_CASE("stream_pool: a checked pool runs every program that the other does") {
  for (std::uint64_t seed = 1; seed <= seeds() / 4; ++seed) {
    habits how;
    how.leaves = true;
    how.captures = true;
    how.budget_bytes = 80'000;
    how.upstream_fails_one_in = 5;
    how.events_fail_one_in = 5;
    memory::stream_pool_options options;
    options.order_after_others = true;
    CHECK(run_program<simulated_streams, checked_pool>(how, seed, options).allocated > 200);
  }
}

TEST_CASE("stream_pool: of two pools on one budget each gives back what the other needs") {
  ground on;
  std::uint32_t const a = on.device.create();
  {
    memory::budget_limits limits;
    limits.hard_bytes = 100'000;
    memory::budget within(limits);
    using budgeted = memory::budgeted_resource<upstream>;
    using pool_type = memory::stream_pool<budgeted, simulated_streams, small_pool>;
    pool_type first(budgeted(within, on.from()), on.streams());
    pool_type second(budgeted(within, on.from()), on.streams());
    REQUIRE(within.add_step({"first", &pool_type::trim_step, &first}));
    REQUIRE(within.add_step({"second", &pool_type::trim_step, &second}));
    for (int turn = 0; turn < 4; ++turn) {
      pool_type& pool = turn % 2 == 0 ? first : second;
      std::vector<void*> blocks;
      for (int i = 0; i < 90; ++i) {
        auto const got = pool.try_allocate(1024, 16, a);
        REQUIRE(got);
        blocks.push_back(*got);
      }
      for (void* p : blocks) { CHECK(pool.deallocate(p, 1024, 16, a)); }
    }
    CHECK(within.counts().climbs >= 3);
    CHECK(within.counts().refused == 0);
    on.device.synchronise();
  }
  on.check_empty();
}
