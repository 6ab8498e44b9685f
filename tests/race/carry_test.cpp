// SPDX-License-Identifier: Apache-2.0
// A keeper carries messages to a ring elsewhere, whose cursor the worker follows; a relay says when
// the worker may leave.
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"
#include <millrace/queue/keeper.hpp>
#include <millrace/queue/relay.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

using A = race::access;
using race::bounded_fresh;
using race::explored;
using race::parts;
using race::weakened;
namespace queue = millrace::queue;
namespace core = millrace::core;
using millrace::result;

/// A group of a device's kind that has one member: its workers follow the cursor.
struct lone_group : queue::host_group {
  static constexpr bool may_park = false;
  static constexpr bool alone = false;
};

template <class Access>
struct tenfold_together : race::tenfold<Access> {
  template <class Group, class Reply>
  queue::status operator()(Group, queue::message_view<std::uint64_t> m,
                           queue::reply_writer<Reply>& out) const noexcept {
    return race::tenfold<Access>::operator()(m, out);
  }
};

/// Workers as wide as a block ask for the phase in every round. A warp asks when a hint says so,
/// which it heeds a round later: the explorer takes the round between for one in vain.
template <class Access>
struct records : explored<Access> {
  using processor = tenfold_together<Access>;
  static constexpr auto ingress = queue::ingress_mode::dma;
  static constexpr auto processing = queue::width::block;
};
template <class Access>
struct pinned : records<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct deferred : records<Access> {
  static constexpr std::uint32_t publish_batch = 3;
};
template <class Access>
struct credit : pinned<Access> {
  using reply = queue::no_reply;
  static constexpr auto completions = queue::completion_mode::none;
};

/// Copies at once, all but the slots' numbers, which nobody reads. As a stream does it, the
/// cursor's write comes behind the copies.
template <queue::consumer_policy P>
struct copier {
  using access = typename P::access;

  static result<bool> ready() noexcept { return true; }
  static result<void> copy(std::byte* to, std::byte const* from, std::size_t bytes) noexcept {
    constexpr std::size_t skipped = offsetof(queue::slot_header, length);
    for (std::size_t at = 0; at < bytes; at += P::slot::stride) {
      constexpr std::size_t size = P::slot::stride - skipped;
      access::read(from + at + skipped, size, "slot.carry");
      access::write(to + at + skipped, size, "slot.stage");
      std::memcpy(to + at + skipped, from + at + skipped, size);
    }
    return {};
  }
  static result<void> publish(queue::message_id& word, queue::message_id value) noexcept {
    access::store(word, value, core::release, "stream.write");
    return {};
  }
  static result<void> finish() noexcept { return {}; }
};

enum class mistake : std::uint8_t { none, tells_at_once };

/// A consumer's parts, and the ring of a device.
template <queue::consumer_policy P>
class carried_parts : public parts<P> {
  using lane_type = queue::lane_ref<P>;
  using access = typename P::access;
  using keeper = queue::keeper<P, access, copier<P>>;

 public:
  explicit carried_parts(typename parts<P>::shape const& with) : parts<P>(with), workers_(1) {
    std::size_t const bytes = *lane_type::bytes(with.capacity);
    block_ = std::move(*millrace::memory::buffer<std::byte>::make(bytes, {}, lane_type::alignment));
    from_ = this->lane();
    lane_type const there = lane_type::create(block_.data(), with.capacity, with.first);
    ring_ = from_.template staged<access>(&there.control(),
                                          reinterpret_cast<std::byte*>(&there.header(0)));
    route_.from = from_;
    route_.to = ring_;
    route_.at.position = cursor_.position = cursor_.limit = with.first;
    there_.workers = 1;
    args_ = {&ring_, &cursor_, 1, queue::crew_ref<P>(there_, workers_.data()), {{&notes}}, {}};
  }

  void keep() {
    copier<P> by;
    (void)keeper({&route_, 1}, this->crew(), by).run();
  }
  void relay(mistake wrong) {
    queue::phase ended = queue::phase::closing;
    if (wrong == mistake::tells_at_once) {
      race::begin_round();
      while (queue::takes_messages(ended = this->crew().phase())) { race::pause(); }
    } else {
      ended = queue::await_end<P>(&from_, &ring_, 1, this->crew(), lone_group{});
    }
    access::store(there_.owner.phase, static_cast<std::uint32_t>(ended), core::release,
                  "crew.pass_on");
  }
  void work_there() {
    queue::drain(args_, 0, lone_group{});
    access::fetch_add(this->crew().control().crew.exited, 1U, core::acq_rel, "crew.exited");
  }

  race::journal notes;

 private:
  millrace::memory::buffer<std::byte> block_;
  queue::crew_control there_{};
  std::vector<queue::worker_control> workers_;
  lane_type from_;
  queue::lane_ref<P, access> ring_;
  queue::lane_cursor cursor_;
  typename keeper::route route_;
  queue::drain_args<P> args_;
};

// Submits each message, and closes or stops while they may be anywhere on their way.
template <class P>
race::report carry(typename parts<P>::shape shape, std::uint32_t messages, queue::phase end,
                   race::options how = {}, mistake wrong = mistake::none) {
  return race::explore(how, [=](race::run& run) {
    auto& q = run.make<carried_parts<P>>(shape);
    run.thread("producer", [&q, messages, end] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(m); }
      q.owner().publish();
      q.crew().advance(end);
    });
    run.thread("keeper", [&q] { q.keep(); });
    run.thread("relay", [&q, wrong] { q.relay(wrong); });
    run.thread("worker", [&q] { q.work_there(); });
    run.after([&q, messages, end] {
      for (std::uint64_t v = 0; v < race::most_messages; ++v) {
        std::uint32_t const most = v < messages ? 1 : 0;
        bool const right =
            end == queue::phase::closing ? q.notes.times[v] == most : q.notes.times[v] <= most;
        race::check(right, "each message is processed once, a stop's at most once");
      }
    });
  });
}

}  // namespace

TEST_CASE("carry: a close comes behind every message that was published") {
  constexpr auto end = queue::phase::closing;
  require_proven(carry<records<A>>({.capacity = 1}, 1, end), "1 message");
  require_proven(carry<records<A>>({.capacity = 2}, 2, end, bounded_fresh(4)), "2 messages");
  require_proven(carry<pinned<A>>({.capacity = 2}, 2, end, bounded_fresh(4)), "pinned, 2 messages");
  require_proven(carry<deferred<A>>({.capacity = 2}, 2, end, bounded_fresh(3)),
                 "deferred, 2 messages");
}

TEST_CASE("carry: a slot of the ring is written again only when its message is done") {
  constexpr auto end = queue::phase::closing;
  require_proven(carry<records<A>>({.capacity = 1}, 2, end, bounded_fresh(4)),
                 "2 messages, 1 slot");
  require_proven(carry<pinned<A>>({.capacity = 1}, 2, end, bounded_fresh(4)),
                 "pinned, 2 messages, 1 slot");
  require_proven(carry<credit<A>>({.capacity = 1}, 2, end, bounded_fresh(4)),
                 "credit, 2 messages, 1 slot");
}

TEST_CASE("carry: a stop gets through whatever is on its way") {
  constexpr auto end = queue::phase::stopping;
  require_proven(carry<records<A>>({.capacity = 2}, 2, end, bounded_fresh(4)),
                 "a stop, 2 messages");
  require_proven(carry<deferred<A>>({.capacity = 2}, 2, end, bounded_fresh(3)),
                 "a stop, deferred, 2 messages");
}

TEST_CASE("carry: numbers wrap around") {
  for (std::uint64_t const first : {std::uint64_t{0xffff'ffff}, ~std::uint64_t{0}}) {
    require_proven(carry<records<A>>({.capacity = 2, .first = first}, 2, queue::phase::closing,
                                     bounded_fresh(4)),
                   "2 messages from " + std::to_string(first));
  }
}

TEST_CASE("carry: a relaxed order is found") {
  constexpr auto end = queue::phase::closing;
  using race::failure_kind;
  require_found(carry<pinned<weakened<"stream.write">>>({.capacity = 1}, 1, end, bounded_fresh(2)),
                failure_kind::data_race, "relaxed stream.write");
  require_found(carry<pinned<weakened<"lane.pull">>>({.capacity = 1}, 1, end, bounded_fresh(2)),
                failure_kind::data_race, "relaxed lane.pull");
  require_found(carry<pinned<weakened<"lane.publish">>>({.capacity = 1}, 1, end, bounded_fresh(2)),
                failure_kind::data_race, "relaxed lane.publish");
  require_found(carry<credit<weakened<"lane.credit">>>({.capacity = 1}, 2, end, bounded_fresh(2)),
                failure_kind::data_race, "relaxed lane.credit");
  require_found(carry<pinned<weakened<"crew.pass_on">>>({.capacity = 1}, 1, end, bounded_fresh(2)),
                failure_kind::check, "relaxed crew.pass_on");
}

TEST_CASE("carry: a relay that tells the close at once is found") {
  require_found(carry<pinned<A>>({.capacity = 1}, 1, queue::phase::closing, bounded_fresh(2),
                                 mistake::tells_at_once),
                race::failure_kind::check, "a close that overtakes a message");
}
