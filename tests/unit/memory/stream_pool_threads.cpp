// SPDX-License-Identifier: Apache-2.0
#include "tests/tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/stream_pool.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

namespace {

/// A stream whose work its own thread does later, out of a queue: so each thread is a device's
/// queue and its submitter. ThreadSanitizer sees the work of two streams on one block unless the
/// pool let the second wait for the first.
struct lagging_stream {
  std::uint64_t submitted = 0;          ///< by the owner
  std::atomic<std::uint64_t> done = 0;  ///< pieces of work
};

struct lagging_streams {
  using stream = lagging_stream*;
  struct event_state {
    lagging_stream* of = nullptr;
    std::uint64_t at = 0;
  };
  using event = event_state*;

  [[nodiscard]] static millrace::result<void> admit(stream) noexcept { return {}; }
  [[nodiscard]] static millrace::result<std::uint64_t> id(stream s) noexcept {
    return reinterpret_cast<std::uintptr_t>(s);
  }
  [[nodiscard]] static bool runs(stream) noexcept { return true; }
  [[nodiscard]] static millrace::result<bool> capturing(stream) noexcept { return false; }
  [[nodiscard]] static millrace::result<event> make_event() noexcept { return new event_state; }
  static void drop_event(event e) noexcept { delete e; }
  [[nodiscard]] static millrace::result<void> record(event e, stream s) noexcept {
    // another thread may record; what it has not seen submitted it was not told of
    *e = {s, std::atomic_ref(s->submitted).load()};
    return {};
  }
  [[nodiscard]] static millrace::result<bool> done(event e) noexcept {
    return e->of->done.load(std::memory_order_acquire) >= e->at;
  }
  [[nodiscard]] static millrace::result<void> order(stream, event) noexcept {
    return core::fail(errc::not_ready);  // no test asks for it
  }
  [[nodiscard]] static std::uint64_t now_ns() noexcept { return 0; }
  static void pause() noexcept {}
};
static_assert(memory::stream_model<lagging_streams>);

struct small_pool : memory::default_stream_pool {
  using classes = memory::four_an_octave<4096>;
  static constexpr std::size_t magazine_bytes = 2048;
  static constexpr std::size_t least_span_bytes = 4096;
  static constexpr std::size_t most_span_bytes = 16'384;
  static constexpr std::uint32_t frees_an_event = 8;
};
using pool_type = memory::stream_pool<memory::counting_resource<>, lagging_streams, small_pool>;

/// Work that writes a whole block, or looks whether it is as it was written.
struct piece {
  std::uint64_t* at;
  std::size_t words;
  std::uint64_t value;
  bool writes;
};

/// What one thread does with its stream.
class submitter {
 public:
  submitter(pool_type& pool, lagging_stream& mine, std::uint64_t number)
      : pool_{pool}, mine_{mine}, here_{*pool.bind(&mine)}, rng_{number}, number_{number} {}

  void step() {
    std::uint64_t const dice = core::below(rng_, 100);
    if (dice < 45) {
      allocate();
    } else if (dice < 85) {
      free();
    } else if (dice < 99) {
      work(1 + core::below(rng_, 8));
    } else if (core::below(rng_, 8) == 0) {
      pool_.trim(core::below(rng_, 40'000));
    } else {
      static_cast<void>(pool_.flush());
      static_cast<void>(pool_.counts());
    }
  }
  void finish() {
    while (!live_.empty()) { free(); }
    work(~std::uint64_t{0});
  }
  [[nodiscard]] std::uint64_t wrong() const { return wrong_; }

 private:
  void allocate() {
    if (live_.size() > 100) { return; }
    std::size_t const words = 1 + core::below(rng_, core::below(rng_, 16) == 0 ? 1000 : 60);
    auto const got = here_.try_allocate(8 * words, 8);
    if (!got) { std::abort(); }
    auto* const p = static_cast<std::uint64_t*>(*got);
    live_.push_back({p, words, ++last_ * 16 + number_, false});
    piece writes = live_.back();
    writes.writes = true;
    submit(writes);
  }
  void free() {
    if (live_.empty()) { return; }
    std::size_t const i = core::below(rng_, live_.size());
    piece const looks = live_[i];
    live_[i] = live_.back();
    live_.pop_back();
    submit(looks);
    if (!here_.try_deallocate(looks.at, 8 * looks.words, 8)) { std::abort(); }
  }
  void submit(piece const& p) {
    queue_.push_back(p);
    std::atomic_ref(mine_.submitted).fetch_add(1);
  }
  void work(std::uint64_t pieces) {
    for (; pieces != 0 && !queue_.empty(); --pieces) {
      piece const p = queue_.front();
      queue_.pop_front();
      for (std::size_t i = 0; i < p.words; ++i) {
        if (p.writes) {
          p.at[i] = p.value;
        } else {
          wrong_ += p.at[i] == p.value ? 0 : 1;
        }
      }
      mine_.done.fetch_add(1, std::memory_order_release);
    }
  }

  pool_type& pool_;
  lagging_stream& mine_;
  pool_type::handle here_;
  core::xoshiro_rng rng_;
  std::uint64_t number_;
  std::uint64_t last_ = 0;
  std::uint64_t wrong_ = 0;
  std::vector<piece> live_;
  std::deque<piece> queue_;
};

}  // namespace

TEST_CASE("stream_pool: threads with streams of their own never meet each other's work") {
  std::uint64_t const steps = millrace_test::long_tier() ? 400'000 : 20'000;
  memory::allocation_counts counts;
  std::uint64_t wrong = 0;
  {
    std::vector<lagging_stream> streams(4);  // outlives the pool, which has events of them
    pool_type pool(memory::counting_resource<>(counts), {});
    std::atomic<std::uint64_t> sum = 0;
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < streams.size(); ++t) {
      threads.emplace_back([&, t] {
        submitter me(pool, streams[t], t + 1);
        for (std::uint64_t i = 0; i < steps; ++i) { me.step(); }
        me.finish();
        sum += me.wrong();
      });
    }
    for (auto& t : threads) { t.join(); }
    wrong = sum;
    auto const c = pool.counts();
    CHECK(c.live == 0);
    CHECK(c.live_bytes == 0);
    CHECK(c.all.stolen > 0);
    CHECK(c.all.event_failures == 0);
    pool.trim(0);
    CHECK(pool.counts().reserved_bytes == 0);
  }
  CHECK(wrong == 0);
  CHECK(counts.live == 0);
}

TEST_CASE("stream_pool: streams that come and go are bound and let go of by several threads") {
  std::uint64_t const rounds = millrace_test::long_tier() ? 5'000 : 300;
  memory::allocation_counts counts;
  {
    std::vector<std::unique_ptr<lagging_stream>> all(4 * rounds);  // ids are addresses: all live on
    for (auto& s : all) { s = std::make_unique<lagging_stream>(); }
    pool_type pool(memory::counting_resource<>(counts), {});
    std::atomic<std::uint64_t> wrong = 0;
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (std::uint64_t round = 0; round < rounds; ++round) {
          lagging_stream& mine = *all[4 * round + t];
          submitter me(pool, mine, t + 1);
          for (int i = 0; i < 20; ++i) { me.step(); }
          me.finish();
          wrong += me.wrong() + (pool.unbind(&mine) ? 0 : 1);
        }
      });
    }
    for (auto& t : threads) { t.join(); }
    CHECK(wrong == 0);
    CHECK(pool.counts().live == 0);
    CHECK(pool.counts().streams == 0);
  }
  CHECK(counts.live == 0);
}
