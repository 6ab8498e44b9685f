// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/state.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace millrace::inline v0::queue::detail {

/// Tells the lane's worker to take nothing more, if nobody has told it yet.
/// @thread under the lock of names
template <consumer_policy P>
void seal(lane_ref<P> const& lane, crew_ref<P> const& crew, std::uint32_t number) noexcept {
  using access = typename P::access;
  lane_identity& words = lane.identity();
  if (access::load(words.successor.seal, core::relaxed, "lane.sealed") == 0) {
    // another number than any seal of this lane before
    std::uint64_t const last =
        access::load(words.worker.acknowledged, core::relaxed, "lane.acknowledged");
    access::store(words.successor.seal, last + 1, publish_order<P>, "lane.seal");
  }
  crew.wake_for(number, 1);
}

/// Lets the worker take messages of the lane again, whose slots are as new.
/// @thread under the lock of names
template <consumer_policy P>
void lift_seal(lane_ref<P> const& lane) noexcept {
  P::access::store(lane.identity().successor.seal, std::uint64_t{0}, publish_order<P>, "lane.lift");
}

/// Gives the completions of the messages at places `from` ... `until` - 1 to `use`, with their
/// numbers, until one is not answered. @return its place
template <consumer_policy P, class Use>
message_id collect(lane_ref<P> const& lane, message_id from, message_id until, message_id shift,
                   Use use) {
  if constexpr (P::completions == completion_mode::records) {
    auto index = static_cast<std::uint32_t>((from - lane.control().first) % lane.capacity());
    for (; from != until && answered(lane, index, from); ++from) {
      completion<typename P::reply> got;
      read_answer<P>(lane, index, got);
      got.id = from + shift;
      use(got);
      index = lane.after(index, 1);
    }
    return from;
  } else {
    return until;
  }
}

/// Which name has which lane. A name's lane is the one with its highest epoch; a lane is free when
/// it has no name, or its name has gone on in another one, and nobody holds it.
///
/// Whoever dies in here leaves every name with one lane: a lane belongs to a name from the store
/// of that name on, which comes last.
/// @thread under the lock of names, which `guard` holds
template <consumer_policy P>
class name_book {
  using access = typename P::access;

 public:
  using completions = own_vector<completion<typename P::reply>>;

  /// Holds the lock of names.
  class guard {
   public:
    explicit guard(state<P>& of) noexcept : of_(&of) {}
    guard(guard const&) = delete;
    guard& operator=(guard const&) = delete;
    ~guard() {
      if (held_) { of_->give_names(); }
    }
    /// @error errc::deadline_passed; errc::device_lost
    [[nodiscard]] result<void> hold(recover::deadline until) noexcept {
      return wait_until(*of_, until, [this]() noexcept { return held_ = of_->claim_names(); });
    }

   private:
    state<P>* of_;
    bool held_ = false;
  };

  explicit name_book(state<P>& of) noexcept : of_(of) {}

  /// A lane for `name`, this handle's alone, behind every message that was accepted under it.
  /// @param results  gets those results of the name's last messages that are there
  /// @error errc::busy without a free lane; errc::deadline_passed while the worker has not stopped
  ///        taking from the lane that another producer of the name holds; errc::closed
  [[nodiscard]] result<std::uint32_t> open(std::uint64_t name, recover::deadline until,
                                           completions& results) {
    results.reserve(of_.built.capacity);
    auto const last = find(name);
    if (last && take(*last)) {  // its producer closed, or is dead: nobody writes there
      auto const went = go_on(*last, until, results);
      if (!went) { give(*last); }
      return went ? result<std::uint32_t>(*last) : cuda::std::unexpected(went.error());
    }
    auto const next = take_free();
    if (!next) { return core::fail(errc::busy); }
    if (!last) {
      begin(*next, name, 1, of_.built.first_message);
      return *next;
    }
    lane_ref<P> const& old = of_.lanes[*last];
    seal(old, of_.crew, *last);
    auto const end = wait_for_stop(old, until);
    if (!end) {
      give(*next);
      return cuda::std::unexpected(end.error());
    }
    auto const& was = old.identity().owner;
    message_id const shift = word(was.shift);
    message_id const lap = std::min<message_id>(*end - word(was.begin), old.capacity());
    collect(old, *end - lap, *end, shift, [&](auto const& got) { results.push_back(got); });
    begin(*next, name, word(was.epoch) + 1, *end + shift);
    return *next;
  }

  /// Takes `name` off its lanes. @error errc::unknown_id; errc::busy while it has a producer
  [[nodiscard]] result<void> forget(std::uint64_t name) noexcept {
    auto const last = find(name);
    if (!last) { return core::fail(errc::unknown_id); }
    if (!take(*last)) { return core::fail(errc::busy); }
    for (lane_ref<P> const& lane : of_.lanes.ref()) {
      if (name_of(lane) == name) { rename(lane, 0); }
    }
    give(*last);
    return {};
  }

 private:
  /// Words that only holders of the lock touch, which orders them.
  [[nodiscard]] static std::uint64_t word(std::uint64_t const& of) noexcept {
    return access::load(of, core::relaxed, "lane.described");
  }
  static void set(std::uint64_t& word, std::uint64_t to) noexcept {
    access::store(word, to, core::relaxed, "lane.describe");
  }
  [[nodiscard]] static std::uint64_t name_of(lane_ref<P> const& lane) noexcept {
    return access::load(lane.identity().owner.name, core::acquire, "lane.named");
  }
  static void rename(lane_ref<P> const& lane, std::uint64_t name) noexcept {
    access::store(lane.identity().owner.name, name, core::release, "lane.name");
  }

  [[nodiscard]] std::optional<std::uint32_t> find(std::uint64_t name) const noexcept {
    std::optional<std::uint32_t> found;
    for (std::uint32_t l = 0; l < of_.entries.size(); ++l) {
      if (name_of(of_.lanes[l]) != name) { continue; }
      if (!found || epoch_of(l) > epoch_of(*found)) { found = l; }
    }
    return found;
  }
  [[nodiscard]] std::uint64_t epoch_of(std::uint32_t l) const noexcept {
    return word(of_.lanes[l].identity().owner.epoch);
  }

  /// Makes a lane this handle's alone, its name aside; false when some producer has it.
  [[nodiscard]] bool take(std::uint32_t l) noexcept {
    std::scoped_lock const lock(of_.opening);
    auto& entry = of_.entries[l];
    if (entry.open || !of_.claim_lane(l)) { return false; }
    entry.open = true;
    return true;
  }
  void give(std::uint32_t l) noexcept {
    std::scoped_lock const lock(of_.opening);
    of_.give_lane(l);
    of_.entries[l].open = false;
  }

  /// Takes a lane that no name needs any more, without the messages that a seal cut off. It has no
  /// name then.
  [[nodiscard]] std::optional<std::uint32_t> take_free() noexcept {
    for (std::uint32_t l = 0; l < of_.entries.size(); ++l) {
      lane_ref<P> const& lane = of_.lanes[l];
      std::uint64_t const name = name_of(lane);
      bool const needed = name != 0 && find(name) == l;
      auto const stopped = stopped_at<access>(lane.identity());
      // who sealed the lane may have died before its worker stopped
      if (needed || (is_fenced<access>(lane.identity()) && !stopped) || !take(l)) { continue; }
      rename(lane, 0);
      if (stopped) {
        of_.entries[l].owner.reopen(*stopped);
        lift_seal(lane);
      }
      return l;
    }
    return std::nullopt;
  }

  /// A nameless lane becomes `name`'s, whose next message is `number`.
  void begin(std::uint32_t l, std::uint64_t name, std::uint64_t epoch, message_id number) noexcept {
    auto& owner = of_.entries[l].owner;
    auto& words = of_.lanes[l].identity().owner;
    message_id const place = owner.next();
    set(words.begin, place);
    set(words.shift, number - place);
    set(words.epoch, epoch);
    owner.adopt(place, number - place);
    rename(of_.lanes[l], name);
  }

  /// Goes on in a name's own lane, which nobody else writes to.
  [[nodiscard]] result<void> go_on(std::uint32_t l, recover::deadline until, completions& results) {
    lane_ref<P> const& lane = of_.lanes[l];
    auto& owner = of_.entries[l].owner;
    bool const sealed = is_fenced<access>(lane.identity());
    if (sealed) {  // by somebody who did not come to open another lane
      seal(lane, of_.crew, l);
      auto const end = wait_for_stop(lane, until);
      if (!end) { return cuda::std::unexpected(end.error()); }
      owner.reopen(*end);
    }
    auto& words = lane.identity().owner;
    message_id const end = owner.next();
    message_id const shift = word(words.shift);
    message_id const lap = std::min<message_id>(end - word(words.begin), lane.capacity());
    message_id const mine =
        collect(lane, end - lap, end, shift, [&](auto const& got) { results.push_back(got); });
    owner.adopt(mine, shift);
    set(words.epoch, word(words.epoch) + 1);
    if (sealed) { lift_seal(lane); }
    return {};
  }

  /// Waits for the worker of a sealed lane. @return the place of the first message that it left
  [[nodiscard]] result<message_id> wait_for_stop(lane_ref<P> const& lane,
                                                 recover::deadline until) noexcept {
    std::optional<message_id> stopped;
    bool over = false;
    auto const ready = [&]() noexcept {
      over = !takes_messages(of_.crew.phase());
      stopped = stopped_at<access>(lane.identity());
      return stopped || over;
    };
    if (auto const ended = wait_until(of_, until, ready); !ended) {
      return cuda::std::unexpected(ended.error());
    }
    if (!stopped) { return core::fail(errc::closed); }
    return *stopped;
  }

  state<P>& of_;
};

}  // namespace millrace::inline v0::queue::detail
