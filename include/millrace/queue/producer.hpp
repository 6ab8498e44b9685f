// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/state.hpp>

#include <cuda/std/span>

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

namespace millrace::inline v0::queue {

/// One producer's end of a consumer: submits messages to its own lane, or to the ring that all
/// producers share, and takes their results. Nobody else ever sees those results. Moves, never
/// copies; the end of a producer publishes what was committed, gives the lane back, and never
/// waits.
/// @thread one at a time   @cost no allocation, lock or system call while there is room
template <consumer_policy P>
class producer {
 public:
  using message = typename P::message;
  using reply = typename P::reply;
  using completion = queue::completion<reply>;

  producer(producer&& other) noexcept
      : shared_(std::move(other.shared_)),
        entry_(std::exchange(other.entry_, nullptr)),
        number_(other.number_),
        reserved_(std::exchange(other.reserved_, false)),
        reserved_bytes_(other.reserved_bytes_),
        results_(std::move(other.results_)),
        epoch_(other.epoch_) {}
  producer& operator=(producer&& other) noexcept {
    producer moved(std::move(other));
    std::swap(shared_, moved.shared_);
    std::swap(entry_, moved.entry_);
    std::swap(number_, moved.number_);
    std::swap(reserved_, moved.reserved_);
    std::swap(reserved_bytes_, moved.reserved_bytes_);
    std::swap(results_, moved.results_);
    std::swap(epoch_, moved.epoch_);
    return *this;
  }
  ~producer() { close(); }

  /// Submits one message; with `publish_batch` 1 it is visible to the workers on return.
  /// A message submitted while the consumer closes may come after its last worker: its result is
  /// then `status::unprocessed`, and without completions only `drain` tells.
  /// @return its number, by which its result is known
  /// @error  errc::bad_argument (2) for a deadline in a policy whose messages do not expire;
  ///         errc::full when no slot is free: take results, or wait; or, by `P::overflow`, what
  ///         comes of the waiting or the dropping: errc::deadline_passed, errc::device_lost,
  ///         errc::full when nothing could be dropped; errc::closed; errc::busy while a reservation
  ///         is open; errc::fenced when another producer goes on under this one's name: which of
  ///         the messages before that count, is known to it alone
  [[nodiscard]] result<message_id> submit(message const& what, std::uint8_t kind = 0) noexcept
    requires(!detail::is_bytes<message>)
  {
    return submit_batch(1, [&](std::uint32_t, message& slot) noexcept { slot = what; }, kind);
  }
  [[nodiscard]] result<message_id> submit(message const& what, terms const& how) noexcept
    requires(!detail::is_bytes<message>)
  {
    return submit_batch(1, [&](std::uint32_t, message& slot) noexcept { slot = what; }, how);
  }

  /// Submits up to the message type's capacity of bytes.
  /// @error as above, and errc::payload_too_large; of slab messages errc::full says what is: 1 the
  ///        slots, 2 the arena
  [[nodiscard]] result<message_id> submit(cuda::std::span<std::byte const> what,
                                          std::uint8_t kind = 0) noexcept
    requires(detail::is_bytes<message>)
  {
    return submit(what, terms{.kind = kind});
  }
  [[nodiscard]] result<message_id> submit(cuda::std::span<std::byte const> what,
                                          terms const& how) noexcept
    requires(detail::is_bytes<message>)
  {
    if (!can_expire(how)) { return core::refuse<message_id>(errc::bad_argument, 2); }
    auto room = reserve(what.size(), how.until);
    if (!room) { return cuda::std::unexpected(room.error()); }
    if (!what.empty()) { std::memcpy(room->data(), what.data(), what.size()); }
    return commit(how);
  }

  /// Submits `what`, a message or bytes, as message number `sequence`, if that is the next.
  /// @error  as submit; errc::duplicate when one of that number was accepted before, from this
  ///         producer or one before it of its name: nothing is done then, but for the count;
  ///         errc::bad_argument (1) when others have to come first
  template <class What>
  [[nodiscard]] result<message_id> submit_once(message_id sequence, What const& what,
                                               terms const& how = {}) noexcept
    requires(P::named_producers)
  {
    if (entry_ == nullptr) { return core::refuse<message_id>(errc::closed); }
    if (reserved_) { return core::refuse<message_id>(errc::busy); }
    if (errc const refused = owner().expect(sequence); refused != errc::ok) {
      return core::refuse<message_id>(refused, refused == errc::bad_argument ? 1 : 0);
    }
    return submit(what, how);
  }

  /// Submits all of `what` or nothing, visible at once and together.
  /// @return the number of the first; the others follow it
  /// @error  as submit; errc::bad_argument for none, or more than the lane's capacity
  [[nodiscard]] result<message_id> submit_batch(cuda::std::span<message const> what,
                                                std::uint8_t kind = 0) noexcept
    requires(!detail::is_bytes<message>)
  {
    return submit_batch(what, terms{.kind = kind});
  }
  [[nodiscard]] result<message_id> submit_batch(cuda::std::span<message const> what,
                                                terms const& how) noexcept
    requires(!detail::is_bytes<message>)
  {
    if (entry_ == nullptr) { return core::refuse<message_id>(errc::closed); }
    if (what.size() > shared_->built.capacity) {
      return core::refuse<message_id>(errc::bad_argument, 1);
    }
    auto const fill = [&](std::uint32_t i, message& slot) noexcept { slot = what[i]; };
    auto const first = submit_batch(static_cast<std::uint32_t>(what.size()), fill, how);
    if (first) { owner().publish(); }
    return first;
  }

  /// Submits `count` messages or nothing, each built by `fill(i, message&)`: in its slot, or for
  /// batches of some size in a cached stage that one wide copy carries over, which is faster.
  /// One message is held back for company as `submit` does; several are visible together. `fill`
  /// must not call this producer, and finds whatever bytes were there before.
  template <class Fill>
    requires std::is_nothrow_invocable_v<Fill&, std::uint32_t, message&>
  [[nodiscard]] result<message_id> submit_batch(std::uint32_t count, Fill fill,
                                                std::uint8_t kind = 0) noexcept
    requires(!detail::is_bytes<message>)
  {
    return submit_batch(count, fill, terms{.kind = kind});
  }
  template <class Fill>
    requires std::is_nothrow_invocable_v<Fill&, std::uint32_t, message&>
  [[nodiscard]] result<message_id> submit_batch(std::uint32_t count, Fill fill,
                                                terms const& how) noexcept
    requires(!detail::is_bytes<message>)
  {
    auto const build = [&](std::uint32_t i, std::byte* payload) noexcept {
      fill(i, *reinterpret_cast<message*>(payload));
    };
    if (!can_expire(how)) { return core::refuse<message_id>(errc::bad_argument, 2); }
    if (errc const refused = admit(count, how.until); refused != errc::ok) {
      if constexpr (detail::drops_oldest<P>) {
        if (refused == errc::full) { return displace(count, P::slot::payload_bytes, how, build); }
      }
      return core::refuse<message_id>(refused);
    }
    auto& lane = owner();
    message_id const first = lane.commit_batch(count, how.kind, build, how.expires.at_ns());
    count == 1 ? lane.offer() : lane.publish();
    return first;
  }

  /// Submits all messages of `what` or none, visible at once and together.
  /// @return the number of the first; the others follow it
  /// @error  as submit; errc::bad_argument for none, or more than the lane's capacity
  [[nodiscard]] result<message_id> submit_batch(
      cuda::std::span<cuda::std::span<std::byte const> const> what, std::uint8_t kind = 0) noexcept
    requires(detail::in_slab<P>)
  {
    return submit_batch(what, terms{.kind = kind});
  }
  [[nodiscard]] result<message_id> submit_batch(
      cuda::std::span<cuda::std::span<std::byte const> const> what, terms const& how) noexcept
    requires(detail::in_slab<P>)
  {
    if (what.size() > ~std::uint32_t{0}) { return core::refuse<message_id>(errc::bad_argument, 1); }
    auto const size = [&](std::uint32_t i) noexcept { return what[i].size(); };
    auto const copy = [&](std::uint32_t i, cuda::std::span<std::byte> to) noexcept {
      if (!to.empty()) { std::memcpy(to.data(), what[i].data(), to.size()); }
    };
    return submit_sized(static_cast<std::uint32_t>(what.size()), size, copy, how);
  }

  /// Submits `count` messages of `bytes` bytes each or none, each written in place by
  /// `fill(i, span)`, visible together. `fill` must not call this producer.
  /// @error as above
  template <class Fill>
    requires std::is_nothrow_invocable_v<Fill&, std::uint32_t, cuda::std::span<std::byte>>
  [[nodiscard]] result<message_id> submit_batch(std::uint32_t count, std::size_t bytes, Fill fill,
                                                std::uint8_t kind = 0) noexcept
    requires(detail::in_slab<P>)
  {
    return submit_batch(count, bytes, fill, terms{.kind = kind});
  }
  template <class Fill>
    requires std::is_nothrow_invocable_v<Fill&, std::uint32_t, cuda::std::span<std::byte>>
  [[nodiscard]] result<message_id> submit_batch(std::uint32_t count, std::size_t bytes, Fill fill,
                                                terms const& how) noexcept
    requires(detail::in_slab<P>)
  {
    return submit_sized(count, [bytes](std::uint32_t) noexcept { return bytes; }, fill, how);
  }

  /// The next slot's message, to be written in place and then committed; a producer that drops
  /// messages lends a place beside the lane, and drops as it commits. Under total order its number
  /// is drawn here: every later one, whoever's it is, waits until `commit` or `cancel`.
  /// @error as submit; errc::busy while another reservation is open
  [[nodiscard]] result<message*> reserve(
      std::optional<recover::deadline> until = std::nullopt) noexcept
    requires(!detail::is_bytes<message>)
  {
    if (errc const refused = lend(P::slot::payload_bytes, until); refused != errc::ok) {
      return core::refuse<message*>(refused);
    }
    return reinterpret_cast<message*>(lent());
  }

  /// Room for `bytes` bytes, to be written in place and then committed. Slab messages begin at a
  /// multiple of 64.
  /// @error as submit
  [[nodiscard]] result<cuda::std::span<std::byte>> reserve(
      std::size_t bytes, std::optional<recover::deadline> until = std::nullopt) noexcept
    requires(detail::is_bytes<message>)
  {
    if (bytes > message::capacity) {
      return core::refuse<cuda::std::span<std::byte>>(errc::payload_too_large, 1);
    }
    if constexpr (detail::in_slab<P>) {
      auto const size = [bytes](std::uint32_t) noexcept { return bytes; };
      error const refused = admit_sized(1, size, until);
      if (refused.code != errc::ok) {
        return core::refuse<cuda::std::span<std::byte>>(refused.code, refused.native);
      }
      reserved_ = true;
      reserved_bytes_ = bytes;
      return cuda::std::span<std::byte>(owner().bytes(bytes), bytes);
    } else {
      if (errc const refused = lend(bytes, until); refused != errc::ok) {
        return core::refuse<cuda::std::span<std::byte>>(refused);
      }
      return cuda::std::span<std::byte>(lent(), bytes);
    }
  }

  /// Keeps no more than the first `bytes` bytes of the reservation.
  /// @error errc::bad_argument when nothing is reserved, or less
  [[nodiscard]] result<void> shrink(std::size_t bytes) noexcept
    requires(detail::is_bytes<message>)
  {
    if (!reserved_ || bytes > reserved_bytes_) { return core::fail(errc::bad_argument, 1); }
    reserved_bytes_ = bytes;
    return {};
  }

  /// Submits the reserved message.
  /// @error errc::bad_argument when nothing is reserved; errc::closed; errc::full when the producer
  ///        drops messages and workers have taken them all by now
  [[nodiscard]] result<message_id> commit(std::uint8_t kind = 0) noexcept {
    return commit(terms{.kind = kind});
  }
  [[nodiscard]] result<message_id> commit(terms const& how) noexcept {
    if (!reserved_) { return core::refuse<message_id>(errc::bad_argument); }
    if (!can_expire(how)) { return core::refuse<message_id>(errc::bad_argument, 2); }
    reserved_ = false;
    if (entry_ == nullptr) { return core::refuse<message_id>(errc::closed); }
    if constexpr (P::named_producers) {
      if (owner().fenced()) { return core::refuse<message_id>(errc::fenced); }
    }
    if constexpr (detail::drops_oldest<P>) {
      auto const build = [this](std::uint32_t, std::byte* payload) noexcept {
        std::memcpy(payload, owner().draft(), reserved_bytes_);
      };
      if (owner().room() == 0) { return displace(1, reserved_bytes_, how, build); }
      build(0, owner().payload());
    }
    message_id id = 0;
    if constexpr (detail::in_slab<P>) {
      id = owner().commit_bytes(reserved_bytes_, how.kind, how.expires.at_ns());
    } else {
      id = owner().commit(reserved_bytes_, how.kind, how.expires.at_ns());
    }
    owner().offer();
    return id;
  }
  /// Gives the reservation up; the slot stays free, and so do bytes of the arena. Under total order
  /// its number was drawn: it counts as a message accepted and, once a worker has stepped over it,
  /// processed.
  void cancel() noexcept {
    if (std::exchange(reserved_, false)) { owner().cancel(); }
  }

  /// Asks the workers not to begin message `id`. One that no worker has begun completes as
  /// `status::cancelled`, and no functor sees it; one that a worker has begun completes as ever.
  /// Its completion says which; it is to be taken in either case.
  /// @error errc::unknown_id when its result was taken, or it was never submitted here;
  ///        errc::closed after `close` or a move
  [[nodiscard]] result<void> cancel(message_id id) noexcept
    requires(P::cancellable)
  {
    if (entry_ == nullptr) { return core::fail(errc::closed); }
    errc const outcome = owner().cancel(id);
    return outcome == errc::ok ? result<void>{} : core::fail(outcome);
  }

  /// The result of message `id`, if it is there. Taking a result frees its slot.
  /// @error errc::not_ready; errc::unknown_id when it was taken already or never submitted here;
  ///        errc::closed after `close` or a move; errc::fenced for a message that will not be done
  [[nodiscard]] result<completion> try_result(message_id id) noexcept
    requires(P::completions == completion_mode::records)
  {
    if (entry_ == nullptr) { return core::refuse<completion>(errc::closed); }
    completion got;
    if constexpr (P::named_producers) {
      for (auto at = results_.begin(); at != results_.end(); ++at) {
        if (at->id != id) { continue; }
        got = *at;
        results_.erase(at);
        return got;
      }
    }
    errc const outcome = owner().take(id, got);
    if (outcome != errc::ok) { return core::refuse<completion>(outcome); }
    return got;
  }

  /// Takes every result that is there, oldest message first, giving each to `use(completion)`,
  /// which must not call this producer.
  /// @return how many
  template <class Use>
    requires std::is_nothrow_invocable_v<Use&, completion const&>
  std::uint32_t poll(Use use) noexcept
    requires(P::completions == completion_mode::records)
  {
    if constexpr (P::named_producers) {
      auto const before = static_cast<std::uint32_t>(results_.size());
      for (completion const& got : results_) { use(got); }
      results_.clear();
      return before + (entry_ == nullptr ? 0 : owner().take_all(use));
    } else {
      return entry_ == nullptr ? 0 : owner().take_all(use);
    }
  }

  /// Publishes what is held back, then waits for the result of message `id`.
  /// @error errc::deadline_passed, and the result may still come; errc::unknown_id;
  ///        errc::closed after `close` or a move; errc::device_lost
  [[nodiscard]] result<completion> wait(message_id id, recover::deadline until) noexcept
    requires(P::completions == completion_mode::records)
  {
    if (entry_ == nullptr) { return core::refuse<completion>(errc::closed); }
    flush();
    result<completion> got = try_result(id);
    auto const over = [&]() noexcept {
      if (!got && got.error().code == errc::not_ready) { got = try_result(id); }
      return got || got.error().code != errc::not_ready;
    };
    if (auto const ended = detail::wait_until(*shared_, until, over); !ended) {
      return cuda::std::unexpected(ended.error());
    }
    return got;
  }

  /// Makes everything submitted visible to the workers now.
  void flush() noexcept {
    if (entry_ != nullptr) { owner().publish(); }
  }

  /// Waits until every message submitted so far is done, with all that follows from it; results
  /// stay to be taken.
  /// @error errc::deadline_passed; errc::closed when workers left before they did them all;
  ///        errc::device_lost; errc::fenced when some of them will not be done
  [[nodiscard]] result<void> drain(recover::deadline until) noexcept {
    if (entry_ == nullptr) { return core::fail(errc::closed); }
    flush();
    message_id id = owner().oldest();
    message_id const end = owner().next();
    bool left_undone = false, cut_off = false;
    auto const all_done = [&]() noexcept {
      bool const over = shared_->deserted();  // read first: what they did is there by then
      while (id != end && owner().done(id)) { ++id; }
      left_undone = over && id != end;
      if constexpr (P::named_producers) { cut_off = id != end && owner().cut_off(id); }
      return id == end || over || cut_off;
    };
    auto const ended = detail::wait_until(*shared_, until, all_done);
    if (!ended) { return ended; }
    if (cut_off) { return core::fail(errc::fenced); }
    return left_undone ? core::fail(errc::closed) : detail::wait_for_follow_ups(*shared_, until);
  }

  /// Publishes what was committed and gives the lane back. Results not taken are dropped.
  void close() noexcept {
    if (entry_ == nullptr) { return; }
    cancel();
    owner().abandon();
    {
      std::scoped_lock const lock(shared_->opening);
      shared_->give_lane(number_);
      entry_->open = false;
    }
    entry_ = nullptr;
    if constexpr (P::named_producers) { results_.clear(); }
    shared_.reset();
  }

  /// The number that the next message will get: a producer that takes over a lane goes on from
  /// there. Under total order the number after its last message: the next one may be anybody's.
  [[nodiscard]] message_id next_id() const noexcept {
    if (entry_ == nullptr) { return 0; }
    if constexpr (P::named_producers) {
      return entry_->owner.next_number();
    } else {
      return entry_->owner.next();
    }
  }
  /// Which producer of its name this is: higher than all before it.
  [[nodiscard]] std::uint64_t epoch() const noexcept
    requires(P::named_producers)
  {
    return epoch_;
  }
  /// Messages that can be submitted before a result must be taken.
  [[nodiscard]] std::uint32_t room() noexcept { return entry_ == nullptr ? 0 : owner().room(); }
  [[nodiscard]] std::uint32_t in_flight() const noexcept {
    return entry_ == nullptr ? 0 : entry_->owner.in_flight();
  }

 private:
  template <consumer_policy>
  friend class consumer;

  producer(std::shared_ptr<detail::state<P>> shared, std::uint32_t number) noexcept
      : shared_(std::move(shared)), entry_(&shared_->entries[number]), number_(number) {}
  producer(std::shared_ptr<detail::state<P>> shared, std::uint32_t number,
           detail::own_vector<completion> results) noexcept
    requires(P::named_producers)
      : producer(std::move(shared), number) {
    results_ = std::move(results);
    auto const& words = shared_->lanes[number].identity().owner;
    epoch_ = P::access::load(words.epoch, core::relaxed, "lane.described");
  }

  [[nodiscard]] owner_for<P>& owner() noexcept { return entry_->owner; }

  /// A deadline that no worker would look at must not be taken for one that it does.
  [[nodiscard]] static bool can_expire(terms const& how) noexcept {
    return P::expires || how.expires.is_never();
  }

  [[nodiscard]] errc admit(std::uint32_t count,
                           std::optional<recover::deadline> const& until) noexcept {
    if (entry_ == nullptr) { return errc::closed; }
    if (reserved_) { return errc::busy; }
    errc outcome = owner().admit(count);
    if (outcome == errc::full) {
      outcome = overflow(count, until, [&]() noexcept { return owner().admit(count); });
    }
    return outcome;
  }
  /// The same for slab messages, the i-th of `size(i)` bytes, which need bytes beside their slots.
  /// @return what is wrong; of errc::full, which room it means: 1 the slots, 2 the arena
  template <class Size>
  [[nodiscard]] error admit_sized(std::uint32_t count, Size size,
                                  std::optional<recover::deadline> const& until) noexcept
    requires(detail::in_slab<P>)
  {
    if (entry_ == nullptr) { return {errc::closed}; }
    if (reserved_) { return {errc::busy}; }
    std::int32_t room = 0;
    auto const look = [&]() noexcept {
      errc const slots = owner().admit(count);
      room = slots == errc::full ? 1 : 2;
      return slots == errc::ok && !owner().fits(count, size) ? errc::full : slots;
    };
    errc outcome = owner().admit(count);
    if (outcome != errc::ok && outcome != errc::full) { return {outcome}; }
    for (std::uint32_t i = 0; i < count; ++i) {
      if (size(i) > message::capacity) { return {errc::payload_too_large, {}, 1}; }
    }
    outcome = look();
    if (outcome == errc::full) { outcome = overflow(count, until, look); }
    return {outcome, {}, outcome == errc::full ? room : 0};
  }

  /// What becomes of `count` messages for which there is no room; `look()` says whether there is
  /// some now.
  template <class Look>
  [[nodiscard]] errc overflow(std::uint32_t count, std::optional<recover::deadline> const& until,
                              Look look) noexcept {
    if constexpr (P::overflow == overflow_mode::block) { return wait_for_room(count, until, look); }
    if constexpr (P::overflow == overflow_mode::drop_newest) { owner().reject(count); }
    return errc::full;
  }
  /// What comes of waiting for room, which the workers make.
  template <class Look>
  [[nodiscard, gnu::cold, gnu::noinline]] errc wait_for_room(
      std::uint32_t count, std::optional<recover::deadline> const& until, Look look) noexcept {
    owner().publish();
    errc outcome = errc::full;
    auto const has_room = [&]() noexcept {
      outcome = look();
      return outcome != errc::full;
    };
    auto const end = until.value_or(recover::deadline::after(core::steady_clock{}, P::block_ns));
    if (auto const ended = detail::wait_until(*shared_, end, has_room); !ended) {
      owner().reject(count);
      return ended.error().code;
    }
    return outcome;
  }

  /// Opens a reservation.
  [[nodiscard]] errc lend(std::size_t bytes,
                          std::optional<recover::deadline> const& until) noexcept {
    errc outcome = admit(1, until);
    if constexpr (detail::drops_oldest<P>) {
      if (outcome == errc::full && owner().displaceable()) { outcome = errc::ok; }
      if (outcome == errc::full) { owner().reject(1); }
    }
    reserved_ = outcome == errc::ok || reserved_;
    reserved_bytes_ = outcome == errc::ok ? bytes : reserved_bytes_;
    return outcome;
  }
  [[nodiscard]] std::byte* lent() noexcept {
    if constexpr (detail::drops_oldest<P>) {
      return owner().draft();
    } else {
      return owner().payload();
    }
  }

  template <class Build>
  [[nodiscard]] result<message_id> displace(std::uint32_t count, std::size_t length,
                                            terms const& how, Build build) noexcept {
    message_id first = 0;
    errc const outcome =
        owner().displace(count, length, how.kind, build, first, how.expires.at_ns());
    if (outcome != errc::ok) { return core::refuse<message_id>(outcome); }
    return first;
  }

  /// All or none of `count` messages, the i-th of `size(i)` bytes and written by `write(i, span)`.
  template <class Size, class Write>
  [[nodiscard]] result<message_id> submit_sized(std::uint32_t count, Size size, Write write,
                                                terms const& how) noexcept
    requires(detail::in_slab<P>)
  {
    if (!can_expire(how)) { return core::refuse<message_id>(errc::bad_argument, 2); }
    if (error const refused = admit_sized(count, size, how.until); refused.code != errc::ok) {
      return core::refuse<message_id>(refused.code, refused.native);
    }
    lane_owner<P>& lane = owner();
    message_id first = lane.next();
    if constexpr (P::named_producers) { first = lane.next_number(); }
    for (std::uint32_t i = 0; i < count; ++i) {
      write(i, cuda::std::span<std::byte>(lane.bytes(size(i)), size(i)));
      static_cast<void>(lane.commit_bytes(size(i), how.kind, how.expires.at_ns()));
    }
    lane.publish();
    return first;
  }

  std::shared_ptr<detail::state<P>> shared_;
  typename detail::state<P>::lane_entry* entry_;
  std::uint32_t number_;  ///< of the lane
  bool reserved_ = false;
  std::size_t reserved_bytes_ = 0;
  /// Of messages before this producer's, not taken yet.
  std::conditional_t<P::named_producers, detail::own_vector<completion>, detail::nothing>
      results_{};
  std::conditional_t<P::named_producers, std::uint64_t, detail::nothing> epoch_{};
};

}  // namespace millrace::inline v0::queue
