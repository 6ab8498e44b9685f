// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/memory/buffer.hpp>
#include <millrace/queue/lane.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace millrace::inline v0::queue::detail {

/// The messages of a lane that no worker has claimed, in the hands of its producer.
///
/// The producer wins them by the compare-exchange with which workers claim: afterwards no worker's
/// succeeds until they are put back. They stay published all the while, under the same numbers; so
/// a worker that saw a number before may claim it afterwards, and finds what is there then.
/// @thread the lane's producer
template <consumer_policy P>
class unclaimed {
  using access = typename P::access;

 public:
  explicit unclaimed(lane_ref<P> const& lane) noexcept : lane_(lane) {}

  /// Takes all of them, if there are `least`; every message before `next` is published.
  [[nodiscard]] bool take(message_id next, std::uint32_t least) noexcept {
    message_id& word = lane_.control().claim.claimed;
    first_ = access::load(word, core::relaxed, "lane.claimed");
    while (next - first_ >= least) {
      // relaxed is enough: nobody wrote what the producer did not write itself
      if (access::compare_exchange(word, first_, first_ ^ withheld_mark, core::relaxed,
                                   core::relaxed, "lane.withhold")) {
        return true;
      }
    }
    return false;
  }
  /// The oldest of them.
  [[nodiscard]] message_id first() const noexcept { return first_; }

  /// Moves each message up to `next` by `places` towards the oldest, over the `places` oldest ones.
  void shift(message_id next, std::uint32_t next_index, std::uint32_t places) noexcept {
    constexpr std::size_t skip = offsetof(slot_header, length);
    constexpr std::size_t moved = P::slot::stride - skip;
    std::uint32_t to = lane_.before(next_index, static_cast<std::uint32_t>(next - first_));
    for (message_id id = first_; id + places != next; ++id) {
      std::uint32_t const from = lane_.after(to, places);
      access::read(&lane_.header(from).length, moved, "slot.shift");
      access::write(&lane_.header(to).length, moved, "slot.shift");
      std::memcpy(reinterpret_cast<std::byte*>(&lane_.header(to)) + skip,
                  reinterpret_cast<std::byte*>(&lane_.header(from)) + skip, moved);
      if constexpr (P::cancellable) {
        access::store(lane_.cancel_word(to), lane_.cancel_word(from), core::relaxed, "slot.cancel");
      }
      to = lane_.after(to, 1);
    }
  }

  /// Lets the workers claim again, and see what was written meanwhile.
  void put_back() noexcept {
    access::store(lane_.control().claim.claimed, first_, core::release, "lane.put_back");
  }

 private:
  lane_ref<P> lane_;
  message_id first_ = 0;
};

/// The numbers of dropped messages whose completions nobody has taken yet, oldest first. Of more
/// than fit the oldest are forgotten: they are counted elsewhere.
class dropped_list {
 public:
  explicit dropped_list(memory::buffer_ref<message_id> room = {}) noexcept : ids_(room) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return count_; }
  void clear() noexcept { count_ = 0; }

  /// `id` is newer than all before.
  void add(message_id id) noexcept {
    if (ids_.size() == 0) { return; }
    if (count_ == ids_.size()) { drop_front(); }
    ids_[place(count_)] = id;
    ++count_;
  }
  /// The oldest one, which leaves the list; there is one.
  message_id pop() noexcept {
    message_id const id = ids_[first_];
    drop_front();
    return id;
  }
  /// Takes `id` out of the list; false when it is not there.
  [[nodiscard]] bool take(message_id id) noexcept {
    for (std::uint32_t i = 0; i < count_; ++i) {
      if (ids_[place(i)] != id) { continue; }
      for (; i != 0; --i) { ids_[place(i)] = ids_[place(i - 1)]; }
      drop_front();
      return true;
    }
    return false;
  }

 private:
  [[nodiscard]] std::uint32_t place(std::uint32_t behind) const noexcept {
    std::size_t const sum = std::size_t{first_} + behind;
    return static_cast<std::uint32_t>(sum < ids_.size() ? sum : sum - ids_.size());
  }
  void drop_front() noexcept {
    first_ = place(1);
    --count_;
  }

  memory::buffer_ref<message_id> ids_;
  std::uint32_t first_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace millrace::inline v0::queue::detail
