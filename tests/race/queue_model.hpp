// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "access.hpp"
#include "explorer.hpp"
#include <millrace/memory/buffer.hpp>
#include <millrace/queue/drain.hpp>
#include <millrace/queue/ring.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace race {

namespace queue = millrace::queue;

/// A worker's wait under exploration: each round of polling that takes nothing ends here.
struct marking_backoff {
  static constexpr bool blocks = false;
  static void pause() noexcept { race::pause(); }
  static void reset(std::uint32_t) noexcept { race::begin_round(); }
};
/// The same, asking for sleep after the first such round.
struct sleepy_backoff : marking_backoff {
  static constexpr bool blocks = true;
  [[nodiscard]] static bool wants_sleep() noexcept { return true; }
};

/// The futex of the explored threads; time never passes.
struct model_parking {
  static void park(std::uint32_t& word, std::uint32_t expected, std::uint64_t) noexcept {
    access::wait(word, expected, "park");
  }
  static void wake(std::uint32_t& word) noexcept { access::wake(word, "unpark"); }
};

/// A clock by which every age has been reached; with publish_age_ns 0.
struct still_clock {
  [[nodiscard]] static std::uint64_t now_ns() noexcept { return 0; }
};

/// Rounds for which a worker watches its next slot and nothing else, at most.
inline constexpr std::uint32_t rounds_watched = 16;

inline constexpr std::size_t most_messages = 8;

/// What the functor did: how often each message was processed.
struct journal {
  std::uint64_t* cancel_word = nullptr;  ///< of the first lane's first slot, where there is one
  std::array<std::uint32_t, most_messages> times{};
};

/// Answers a message with ten times its value. Processing one message twice at a time is a data
/// race, and twice at all is counted.
template <class Access>
struct tenfold {
  journal* notes = nullptr;

  queue::status operator()(queue::message_view<std::uint64_t> m,
                           queue::reply_writer<std::uint64_t>& out) const noexcept {
    note(m.value());
    out.write(10 * m.value());
    return queue::status::ok;
  }
  queue::status operator()(queue::message_view<std::uint64_t> m,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    note(m.value());
    return queue::status::ok;
  }

  template <std::size_t Max, class Reply>
  queue::status operator()(queue::message_view<queue::slab_bytes<Max>> m,
                           queue::reply_writer<Reply>& out) const noexcept {
    std::uint64_t value = most_messages;
    race::check(m.size() == sizeof(value), "the length is the message's");
    std::memcpy(&value, m.bytes().data(), sizeof(value));
    note(value);
    if constexpr (!std::is_empty_v<Reply>) { out.write(10 * value); }
    return queue::status::ok;
  }

 private:
  void note(std::uint64_t value) const noexcept {
    race::check(value < most_messages, "the message is one that was sent");
    std::uint32_t& times = notes->times[value];
    Access::write(&times, sizeof(times), "functor");
    ++times;
  }
};

/// The policy under exploration; tests override what differs.
template <class Access>
struct explored : queue::default_consumer<std::uint64_t, tenfold<Access>> {
  using access = Access;
  using backoff = marking_backoff;
  using parking = model_parking;
  using clock = still_clock;
  static constexpr std::uint64_t publish_age_ns = 0;
};

/// A consumer's parts without its threads: lanes or a ring, their owners, the crew, and what
/// workers run. Under total order `shape::lanes` counts the owners, and "lane" says which one.
template <queue::consumer_policy P>
class parts {
 public:
  static constexpr bool answers = P::completions == queue::completion_mode::records;

  struct shape {
    std::uint32_t lanes = 1;
    std::uint32_t capacity = 1;
    std::uint32_t workers = 1;
    queue::message_id first = 0;
    std::uint32_t hold = 1;
    std::size_t arena_bytes = 0;
  };

  explicit parts(shape const& with)
      : workers_(with.workers), cursors_(cursors(with)), first_(with.first) {
    control_.workers = with.workers;
    control_.hold = with.hold;
    crew_ = queue::crew_ref<P>(control_, workers_.data());
    std::size_t const bytes = *queue::lane_ref<P>::bytes(with.capacity, with.arena_bytes);
    for (std::uint32_t l = 0; l < lanes(with); ++l) {
      blocks_.push_back(std::move(
          *millrace::memory::buffer<std::byte>::make(bytes, {}, queue::lane_ref<P>::alignment)));
      lanes_.push_back(queue::lane_ref<P>::create(blocks_.back().data(), with.capacity, with.first,
                                                  with.arena_bytes));
    }
    for (std::uint32_t l = 0; l < with.lanes; ++l) {
      owner_notes_.push_back(std::move(*owner_notes::make_zeroed(with.capacity)));
      if constexpr (queue::detail::one_ring<P>) {
        owners_.emplace_back(lanes_[0], crew_, owner_notes_.back().ref());
      } else {
        dropped_ids_.push_back(
            std::move(*millrace::memory::buffer<queue::message_id>::make(most_messages)));
        owners_.emplace_back(lanes_[l], crew_, l, owner_notes_.back().ref(),
                             millrace::memory::buffer_ref<std::byte>{}, dropped_ids_.back().ref());
      }
    }
    if constexpr (P::cancellable) { notes_.cancel_word = &lanes_[0].cancel_word(0); }
    for (queue::lane_cursor& c : cursors_) { c.position = c.limit = with.first; }
    args_ = queue::drain_args<P>{lanes_.data(), cursors_.data(), lanes(with), crew_, {&notes_}, {}};
    if constexpr (P::follow_ups != 0) {
      using layout = queue::detail::follow_layout_of<P>;
      follow_ups_ = std::move(*millrace::memory::buffer<std::byte>::make(
          with.workers * layout::bytes, {}, layout::alignment));
      args_.follow_ups = follow_ups_.data();
    }
  }
  parts(parts const&) = delete;
  parts& operator=(parts const&) = delete;

  [[nodiscard]] queue::owner_for<P>& owner(std::size_t lane = 0) { return owners_[lane]; }
  [[nodiscard]] queue::lane_ref<P> const& lane(std::size_t l = 0) const { return lanes_[l]; }
  [[nodiscard]] queue::crew_ref<P> crew() const { return crew_; }
  [[nodiscard]] queue::worker_control const& words(std::uint32_t worker) const {
    return workers_[worker];
  }
  [[nodiscard]] journal const& notes() const { return notes_; }

  /// One worker, from its start to its end.
  void work(std::uint32_t worker) {
    queue::drain(args_, worker, queue::host_group{});
    P::access::fetch_add(control_.crew.exited, 1U, millrace::core::acq_rel, "crew.exited");
  }

  /// Submits `value` when there is room, taking and counting results meanwhile.
  queue::message_id submit(std::uint64_t value, std::size_t lane = 0) {
    wait_for_room(1, lane);
    return write_admitted(value, lane);
  }
  /// Submits `value` if the lane takes it.
  bool try_submit(std::uint64_t value, std::size_t lane = 0) {
    if (!has_room(1, lane)) { return false; }
    (void)write(value, lane);
    owner(lane).offer();
    return true;
  }
  /// Submits `value`, for which there is room.
  queue::message_id write_admitted(std::uint64_t value, std::size_t lane = 0) {
    queue::message_id const id = write(value, lane);
    owner(lane).offer();
    return id;
  }
  /// Submits `count` messages from `value` on, dropping older ones if it must; false when workers
  /// and untaken results hold the lane.
  bool try_displace(std::uint64_t value, std::uint32_t count = 1) {
    auto const build = [value](std::uint32_t i, std::byte* payload) noexcept {
      ::new (payload) std::uint64_t(value + i);
    };
    queue::message_id first = 0;
    millrace::errc outcome = owner().admit(count);
    if (outcome == millrace::errc::ok) {
      first = owner().commit_batch(count, 0, build);
      owner().publish();
    } else {
      outcome = owner().displace(count, sizeof(value), 0, build, first);
    }
    if (outcome != millrace::errc::ok) { return false; }
    for (std::uint32_t i = 0; i < count; ++i) { values_[first + i - first_] = value + i; }
    submitted_ += count;
    return true;
  }
  /// Submits `count` messages from `value` on, visible together.
  void submit_batch(std::uint64_t value, std::uint32_t count, std::size_t lane = 0) {
    wait_for_room(count, lane);
    for (std::uint32_t i = 0; i < count; ++i) { (void)write(value + i, lane); }
    owner(lane).publish();
  }
  void wait_for_room(std::uint32_t count, std::size_t lane = 0) {
    race::begin_round();
    while (!has_room(count, lane)) { take_all(lane) == 0 ? race::pause() : race::begin_round(); }
  }

  /// Takes what there is and checks it against what was sent.
  std::uint32_t take_all(std::size_t lane = 0) {
    if constexpr (answers) {
      return owner(lane).take_all([this](auto const& c) noexcept { answered(c); });
    } else {
      return 0;
    }
  }
  /// Waits until message `id` is done, without publishing anything.
  void wait_until_done(queue::message_id id, std::size_t lane = 0) {
    race::begin_round();
    while (!owner(lane).done(id)) { race::pause(); }
  }
  /// What a planted bug does: the workers of the next epoch begin where the first ones began.
  void forget_cursors() {
    for (queue::lane_cursor& c : cursors_) {
      c = {};
      c.position = c.limit = first_;
    }
  }
  /// Waits until `workers` workers have left.
  void join(std::uint32_t workers) {
    race::begin_round();
    while (P::access::load(control_.crew.exited, millrace::core::acquire, "crew.exited") !=
           workers) {
      race::pause();
    }
  }
  /// Waits until every message of the lane is answered, or done when there are no answers.
  void settle(std::size_t lane = 0) {
    owner(lane).publish();
    race::begin_round();
    for (;;) {
      std::uint32_t const taken = take_all(lane);
      (void)owner(lane).room();
      if (owner(lane).in_flight() == 0) { return; }
      taken == 0 ? race::pause() : race::begin_round();
    }
  }

  /// In `after`: each of the first `count` messages was processed once, and answered once.
  void check_all(std::uint64_t count) const {
    for (std::uint64_t v = 0; v < most_messages; ++v) {
      std::uint32_t const once = v < count ? 1 : 0;
      race::check(notes_.times[v] == once, "each message is processed once");
      race::check(!answers || answered_[v] == once, "each message is answered once");
    }
    race::check(unprocessed_ == 0, "no message is given back");
  }
  /// In `after`: each message that was submitted was processed and answered, or given back.
  void check_told() const {
    std::uint32_t processed = 0;
    for (std::uint64_t v = 0; v < most_messages; ++v) {
      race::check(notes_.times[v] == answered_[v], "what is answered was processed, once");
      processed += notes_.times[v];
    }
    race::check(processed + unprocessed_ + dropped_ + cancelled_ == submitted_,
                "no message is lost");
  }
  /// Cancels message `id`, whether it is still there or not.
  void cancel(queue::message_id id) {
    unwanted_[id - first_] = true;
    (void)owner().cancel(id);
  }
  [[nodiscard]] std::uint32_t dropped() const { return dropped_; }
  [[nodiscard]] std::uint32_t unprocessed() const { return unprocessed_; }

 private:
  [[nodiscard]] static std::vector<queue::lane_cursor> cursors(shape const& with) {
    return std::vector<queue::lane_cursor>(P::claims == queue::claim_mode::pinned
                                               ? lanes(with)
                                               : std::size_t{lanes(with)} * with.workers);
  }
  [[nodiscard]] static std::uint32_t lanes(shape const& with) {
    return queue::detail::one_ring<P> ? 1 : with.lanes;
  }
  using owner_notes = millrace::memory::buffer<
      std::conditional_t<queue::detail::one_ring<P>, queue::message_id, std::uint8_t>>;

  [[nodiscard]] bool has_room(std::uint32_t count, std::size_t lane) {
    if (owner(lane).admit(count) != millrace::errc::ok) { return false; }
    if constexpr (queue::detail::in_slab<P>) {
      return owner(lane).fits(count, [](std::uint32_t) noexcept { return sizeof(std::uint64_t); });
    }
    return true;
  }

  queue::message_id write(std::uint64_t value, std::size_t lane) {
    queue::message_id id = 0;
    if constexpr (queue::detail::in_slab<P>) {
      ::new (owner(lane).bytes(sizeof(value))) std::uint64_t(value);
      id = owner(lane).commit_bytes(sizeof(value), 0);
    } else {
      ::new (owner(lane).payload()) std::uint64_t(value);
      id = owner(lane).commit(sizeof(value), 0);
    }
    // lanes number their messages alike: only one lane's answers are told apart by number
    values_[id - first_] = lanes_.size() == 1 ? value : values_[id - first_];
    ++submitted_;
    return id;
  }

  template <class Completion>
  void answered(Completion const& c) noexcept {
    if (c.status == queue::status::unprocessed) {
      ++unprocessed_;
      return;
    }
    if (c.status == queue::status::dropped) {
      race::check(notes_.times[values_[c.id - first_]] == 0, "what is dropped is not processed");
      ++dropped_;
      return;
    }
    if (c.status == queue::status::cancelled) {
      race::check(notes_.times[values_[c.id - first_]] == 0, "what is cancelled is not processed");
      race::check(unwanted_[c.id - first_], "only what was cancelled is");
      ++cancelled_;
      return;
    }
    std::uint64_t const value = c.reply / 10;
    race::check(c.status == queue::status::ok && value < most_messages && c.reply == 10 * value,
                "the answer is the functor's");
    race::check(lanes_.size() > 1 || values_[c.id - first_] == value,
                "the answer is the message's own");
    ++answered_[value];
  }

  queue::crew_control control_{};
  std::vector<queue::worker_control> workers_;
  std::vector<queue::lane_cursor> cursors_;
  std::vector<millrace::memory::buffer<std::byte>> blocks_;
  std::vector<queue::lane_ref<P>> lanes_;
  std::vector<owner_notes> owner_notes_;
  std::vector<millrace::memory::buffer<queue::message_id>> dropped_ids_;
  std::vector<queue::owner_for<P>> owners_;
  queue::crew_ref<P> crew_;
  journal notes_;
  millrace::memory::buffer<std::byte> follow_ups_;
  queue::drain_args<P> args_;
  queue::message_id first_;
  // of the producers' threads; with two lanes they touch different entries
  std::array<std::uint64_t, most_messages> values_{};
  std::array<std::uint32_t, most_messages> answered_{};
  std::uint32_t unprocessed_ = 0;
  std::uint32_t dropped_ = 0;
  std::uint32_t cancelled_ = 0;
  std::array<bool, most_messages> unwanted_{};
  std::uint32_t submitted_ = 0;
};

}  // namespace race
