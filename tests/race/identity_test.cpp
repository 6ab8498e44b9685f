// SPDX-License-Identifier: Apache-2.0
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"
#include <millrace/queue/names.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

// A producer that stays behind, and its successor under the same name in another lane.

namespace {

using A = race::access;
using race::parts;
namespace core = millrace::core;
namespace queue = millrace::queue;

template <class Access>
struct named : race::explored<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
  static constexpr bool named_producers = true;
};
template <class Access>
struct named_sleepy : named<Access> {
  using backoff = race::sleepy_backoff;
};
template <class Access>
struct named_silent : named<Access> {
  using reply = queue::no_reply;
  static constexpr auto completions = queue::completion_mode::none;
};

/// The successor takes a seal for acknowledged as soon as it is there.
struct hasty_successor : race::access {
  static inline std::uint64_t seal = 0;

  template <class T>
  [[nodiscard]] static T load(T const& word, core::memory_order order, char const* site) noexcept {
    T const seen = race::access::load(word, order, site);
    bool const acknowledged = std::string_view(site) == "lane.acknowledged";
    return acknowledged && seal != 0 ? static_cast<T>(seal) : seen;
  }
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, core::memory_order order,
                    char const* site) noexcept {
    if (std::string_view(site) == "lane.seal") { seal = value; }
    race::access::store(word, value, order, site);
  }
};
static_assert(core::access_policy<hasty_successor>);

/// The worker looks at its lanes once more after it has acknowledged a seal.
struct hasty_worker : race::access {
  static inline bool acknowledged = false;

  template <class T>
  [[nodiscard]] static T load(T const& word, core::memory_order order, char const* site) noexcept {
    T const seen = race::access::load(word, order, site);
    bool const sealed = std::string_view(site) == "lane.look_sealed";
    return sealed && acknowledged ? T{0} : seen;
  }
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, core::memory_order order,
                    char const* site) noexcept {
    if (std::string_view(site) == "lane.acknowledge") { acknowledged = true; }
    race::access::store(word, value, order, site);
  }
};
static_assert(core::access_policy<hasty_worker>);

/// Waits until the worker has said where it stopped in lane 0.
template <class P>
queue::message_id wait_for_stop(parts<P>& q) {
  std::optional<queue::message_id> stopped;
  race::begin_round();
  while (!stopped) {
    stopped = queue::detail::stopped_at<typename P::access>(q.lane(0).identity());
    if (!stopped) { race::pause(); }
  }
  return *stopped;
}

struct scene {
  std::uint32_t messages = 1;  ///< of the name
  bool zombie = true;          ///< the old producer submits them too, while its lane takes them
  bool returns = false;        ///< it leaves then, and its lane takes one more message
};

// An old producer submits messages 0, 1, ... while its lane takes them. Its successor seals that
// lane, learns where it ends, and submits the rest of the name's messages through lane 1.
template <class P>
race::report succeed(typename parts<P>::shape shape, scene const& with,
                     race::options const& how = {}) {
  shape.lanes = 2;
  return race::explore(how, [=](race::run& run) {
    hasty_successor::seal = 0;
    hasty_worker::acknowledged = false;
    struct ends {
      std::uint32_t gone = 0;
    };
    auto& q = run.make<parts<P>>(shape);
    auto& e = run.make<ends>();
    if (with.zombie) {
      run.thread("zombie", [&q, &e, with] {
        for (std::uint64_t v = 0; v < with.messages; ++v) {
          // as a process does that may stop between its look and its write
          if (q.owner(0).admit(1) != millrace::errc::ok) { break; }
          (void)q.write_admitted(v, 0);
        }
        A::store(e.gone, 1, core::release, "test.gone");
      });
    }
    run.thread("successor", [&q, &e, with, first = shape.first] {
      queue::detail::seal<P>(q.lane(0), q.crew(), 0);
      queue::message_id const end = wait_for_stop(q) - first;
      race::check(end <= with.messages, "a lane ends where its messages do");
      for (std::uint64_t v = end; v < with.messages; ++v) { (void)q.submit(v, 1); }
      if (with.returns) {
        race::begin_round();
        while (with.zombie && A::load(e.gone, core::acquire, "test.gone") == 0) { race::pause(); }
        q.owner(0).reopen(first + end);
        queue::detail::lift_seal<P>(q.lane(0));
        (void)q.submit(with.messages, 0);
      }
      q.crew().advance(queue::phase::closing);
    });
    for (std::uint32_t w = 0; w < shape.workers; ++w) {
      run.thread("worker " + std::to_string(w), [&q, w] { q.work(w); });
    }
    run.after([&q, with] {
      for (std::uint64_t v = 0; v < race::most_messages; ++v) {
        std::uint32_t const once = v < with.messages + (with.returns ? 1 : 0) ? 1 : 0;
        race::check(q.notes().times[v] == once, "each message is processed once");
      }
    });
  });
}

}  // namespace

TEST_CASE("identity: a successor loses nothing and doubles nothing, whatever the zombie writes") {
  require_proven(succeed<named<A>>({.capacity = 1}, {}), "1 message, capacity 1");
  require_proven(succeed<named<A>>({.capacity = 2}, {.messages = 2}), "2 messages, capacity 2");
  race::options how;
  how.preemptions = race::long_tier() ? 5 : 3;
  require_proven(succeed<named<A>>({.capacity = 3}, {.messages = 3}, how),
                 "3 messages, capacity 3");
  require_proven(succeed<named<A>>({.capacity = 1}, {.messages = 2}, how),
                 "2 messages, capacity 1");
  require_proven(succeed<named_silent<A>>({.capacity = 2}, {.messages = 2}, how),
                 "2 messages without completions");
  require_proven(succeed<named<A>>({.capacity = 2, .workers = 2}, {.messages = 2}, how),
                 "2 messages, 2 workers");
  require_proven(
      succeed<named<A>>({.capacity = 2, .first = ~std::uint64_t{0}}, {.messages = 2}, how),
      "2 messages, numbers that wrap");
}

TEST_CASE("identity: a worker that sleeps hears of a seal, and of its end") {
  race::options const how = race::bounded(2);
  require_proven(succeed<named_sleepy<A>>({.capacity = 1}, {.messages = 0, .zombie = false}, how),
                 "1 sleepy worker, sealed");
  require_proven(succeed<named_sleepy<A>>({.capacity = 1},
                                          {.messages = 0, .zombie = false, .returns = true}, how),
                 "1 sleepy worker, sealed lane used again");
}

TEST_CASE("identity: a sealed lane that is used again has nothing left of what was cut off") {
  race::options const how = race::bounded(3);
  require_proven(succeed<named<A>>({.capacity = 1}, {.returns = true}, how),
                 "lane used again, capacity 1");
  require_proven(succeed<named<A>>({.capacity = 2}, {.messages = 2, .returns = true}, how),
                 "lane used again, capacity 2");
}

TEST_CASE("identity: planted mistakes are found") {
  using race::failure_kind;
  scene const two{.messages = 2};
  scene const again{.messages = 2, .returns = true};
  require_found(succeed<named<hasty_successor>>({.capacity = 2}, two), failure_kind::check,
                "the end is read before the acknowledgement");
  require_found(succeed<named<hasty_worker>>({.capacity = 2}, two), failure_kind::check,
                "a worker looks again after its acknowledgement");
  require_found(succeed<named<race::weakened<"lane.acknowledge">>>({.capacity = 2}, two),
                failure_kind::check, "an acknowledgement with relaxed");
  require_found(succeed<named<race::weakened<"lane.acknowledged">>>({.capacity = 2}, two),
                failure_kind::check, "an acknowledgement read with relaxed");
  require_found(succeed<named<race::weakened<"lane.lift">>>({.capacity = 2}, again),
                failure_kind::data_race, "a seal lifted with relaxed");
  require_found(succeed<named<race::weakened<"lane.look_sealed">>>({.capacity = 2}, again),
                failure_kind::data_race, "a seal looked at with relaxed");
  require_found(succeed<named_sleepy<race::without_total_order<"lane.seal">>>(
                    {.capacity = 1}, {.messages = 0, .zombie = false}),
                failure_kind::deadlock, "a seal that a sleeper does not see");
}
