// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/kernel_heap_policy.hpp>
#include <millrace/memory/kernel_heap_ref.hpp>
#include <millrace/memory/kernel_slabs.hpp>
#include <millrace/memory/reservation.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace millrace::inline v0::memory {

/// Where a kernel heap lies: a range of addresses, of which parts have memory. `back` gives memory
/// to the parts that have none yet, `unback` takes it away; `clear` writes zero; `read` copies to
/// the host; `perform` calls a trivially copyable functor where the memory is, once, and waits for
/// it. `shared` are two words that host and functors see, also while kernels run.
template <class G>
concept kernel_ground = requires(G& g, G const& c, std::size_t at, void* to, void (*f)()) {
  requires std::movable<G>;
  { c.data() } noexcept -> std::same_as<std::byte*>;
  { c.size() } noexcept -> std::same_as<std::size_t>;
  { c.shared() } noexcept -> std::same_as<std::uint32_t*>;
  { g.back(at, at) } noexcept -> std::same_as<result<void>>;
  { g.unback(at, at) } noexcept -> std::same_as<void>;
  { g.clear(at, at) } noexcept -> std::same_as<result<void>>;
  { c.read(to, at, at) } noexcept -> std::same_as<result<void>>;
  { g.perform(f) } noexcept -> std::same_as<result<void>>;
};

/// Host memory, for threads in place of kernels.
class host_ground {
 public:
  /// @error as reservation::make
  [[nodiscard]] static result<host_ground> make(std::size_t bytes, std::size_t alignment) noexcept {
    auto words = buffer<std::uint32_t>::make_zeroed(2);
    if (!words) { return cuda::std::unexpected<error>(words.error()); }
    constexpr std::size_t page = 4096;
    auto range = reservation::make(bytes, alignment < page ? page : alignment);
    if (!range) { return cuda::std::unexpected<error>(range.error()); }
    return host_ground(std::move(*words), std::move(*range));
  }

  // Written out, because compiler-made ones would count as device code under nvcc.
  host_ground(host_ground&& other) noexcept
      : words_{std::move(other.words_)}, range_{std::move(other.range_)} {}
  host_ground& operator=(host_ground&& other) noexcept {
    words_ = std::move(other.words_);
    range_ = std::move(other.range_);
    return *this;
  }
  ~host_ground() {}

  [[nodiscard]] std::byte* data() const noexcept { return range_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return range_.size(); }
  [[nodiscard]] std::uint32_t* shared() const noexcept { return words_.data(); }
  [[nodiscard]] result<void> back(std::size_t, std::size_t) noexcept { return {}; }
  void unback(std::size_t at, std::size_t bytes) noexcept {
    reservation::discard(data() + at, bytes);
  }
  [[nodiscard]] result<void> clear(std::size_t at, std::size_t bytes) noexcept {
    std::memset(data() + at, 0, bytes);
    return {};
  }
  [[nodiscard]] result<void> read(void* to, std::size_t at, std::size_t bytes) const noexcept {
    std::memcpy(to, data() + at, bytes);
    return {};
  }
  template <class F>
  [[nodiscard]] result<void> perform(F what) noexcept {
    what();
    return {};
  }

 private:
  host_ground(buffer<std::uint32_t> words, reservation range) noexcept
      : words_{std::move(words)}, range_{std::move(range)} {}

  buffer<std::uint32_t> words_;
  reservation range_;
};
static_assert(kernel_ground<host_ground>);

/// How a kernel heap begins, and how it grows.
struct kernel_heap_options {
  std::size_t bytes = std::size_t{64} << 20;  ///< of slabs, at first
  std::size_t most_bytes = 0;                 ///< that it may grow to; 0: it does not grow
  std::size_t step_bytes = 0;                 ///< by which it grows at least; 0: by what it has
  std::uint32_t low_mark = 900;  ///< thousandths of its bytes in use, from which on it is low
};

/// Where a kernel heap's bytes are.
struct kernel_heap_stats {
  std::size_t most_bytes = 0;   ///< that it may grow to
  std::size_t bytes = 0;        ///< that it has
  std::size_t word_bytes = 0;   ///< beside them, for its bitmaps
  std::size_t taken_bytes = 0;  ///< of slabs that classes and large blocks have
  std::size_t peak_bytes = 0;   ///< the most that taken_bytes has been
  std::size_t live_bytes = 0;   ///< of blocks that are in use, and of large ones
  std::size_t live_blocks = 0;
  std::uint32_t refused = 0;  ///< allocations that found no room
};

namespace detail {

/// What the owner of a kernel heap does where its memory is.
template <kernel_heap_policy P>
struct kernel_heap_chore {
  enum class kind : std::uint32_t { format, add, take_last, reclaim, fits, set_low };

  kernel_slabs<P> slabs;
  kind what;
  std::uint32_t n = 0;
  std::uint32_t low_at = 0;
  std::uint32_t* answer = nullptr;

  MILLRACE_HD void operator()() const noexcept {
    switch (what) {
      case kind::format: return slabs.format(n);
      case kind::add: slabs.add(n); return slabs.set_low(low_at);
      case kind::take_last: *answer = slabs.take_last(n); return;
      case kind::reclaim: *answer = slabs.reclaim(); return;
      case kind::fits: *answer = slabs.fits(n) ? 1 : 0; return;
      case kind::set_low: return slabs.set_low(low_at);
    }
  }
};

}  // namespace detail

/// Owns a kernel heap's memory. It grows and shrinks only in `maintain` and `trim`, which the owner
/// of the kernels calls while none of them uses the heap: at a park. Blocks must not be used after
/// its end. Moves, never copies.
/// @thread one at a time; its ref any
template <kernel_heap_policy P = default_kernel_heap, kernel_ground Ground = host_ground>
class kernel_heap {
 public:
  using ref_type = kernel_heap_ref<P>;

  /// Bytes of addresses that a heap of such options wants of its ground.
  /// @error errc::bad_argument 1 for no slab or more than 2^25 slabs, 2 when it may grow to less
  ///        than it has, 3 for a mark above 1000, 5 for steps of no slab
  [[nodiscard]] static result<std::size_t> ground_bytes(kernel_heap_options const& with) noexcept {
    auto const at = plan_of(with);
    if (!at) { return cuda::std::unexpected<error>(at.error()); }
    return at->slabs_at + std::size_t{at->layout.slabs} * P::slab_bytes;
  }
  /// What the ground's range must begin at a multiple of.
  static constexpr std::size_t ground_alignment = P::slab_bytes;

  /// An empty heap.
  /// @param on  at least ground_bytes(with) of it, at a multiple of ground_alignment
  /// @error as ground_bytes; errc::bad_argument 4 for a ground that is too small or badly aligned;
  ///        what the ground says, errc::out_of_memory among it
  [[nodiscard]] static result<kernel_heap> make(Ground on,
                                                kernel_heap_options const& with = {}) noexcept {
    auto const at = plan_of(with);
    if (!at) { return cuda::std::unexpected<error>(at.error()); }
    auto const begin = reinterpret_cast<std::uintptr_t>(on.data());
    if (on.size() < *ground_bytes(with) || begin % ground_alignment != 0) {
      return core::fail(errc::bad_argument, 4);
    }
    kernel_heap made(std::move(on), *at, with);
    auto ok = made.ground_.back(0, at->layout.free);
    if (ok) { ok = made.ground_.clear(0, at->layout.free); }
    if (ok) { ok = made.perform(chore::kind::format); }
    if (ok) { ok = made.grow(slabs_in(with.bytes)); }
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    return made;
  }
  /// The same on host memory of its own.
  [[nodiscard]] static result<kernel_heap> make(kernel_heap_options const& with = {}) noexcept
    requires std::same_as<Ground, host_ground>
  {
    auto const bytes = ground_bytes(with);
    if (!bytes) { return cuda::std::unexpected<error>(bytes.error()); }
    auto on = host_ground::make(*bytes, ground_alignment);
    if (!on) { return cuda::std::unexpected<error>(on.error()); }
    return make(std::move(*on), with);
  }

  // Written out, because compiler-made ones would count as device code under nvcc.
  kernel_heap(kernel_heap&& other) noexcept
      : ground_{std::move(other.ground_)},
        plan_{other.plan_},
        with_{other.with_},
        usable_{std::exchange(other.usable_, 0)} {}
  kernel_heap& operator=(kernel_heap&& other) noexcept {
    ground_ = std::move(other.ground_);
    plan_ = other.plan_;
    with_ = other.with_;
    usable_ = std::exchange(other.usable_, 0);
    return *this;
  }
  ~kernel_heap() {}

  /// What goes into kernels; the same from begin to end, however the heap grows.
  [[nodiscard]] ref_type ref() const noexcept { return ref_type(slabs()); }

  /// Whether kernels have said that the heap runs low, since the last `maintain`.
  /// @thread any, while kernels run
  [[nodiscard]] bool low() const noexcept { return usable_ != 0 && slabs().low(); }

  /// Gives empty slabs back to all classes, and grows the heap by a step when it was low and still
  /// is, or when an allocation found no room that there still is not.
  /// @return bytes by which it has grown   @error what the ground says; the heap stays as it is
  /// @pre no kernel uses the heap, and on a device none runs for ever
  [[nodiscard]] result<std::size_t> maintain() noexcept {
    bool const was_low = low();
    auto ok = perform(chore::kind::reclaim);
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    auto const now = counts();
    if (!now) { return cuda::std::unexpected<error>(now.error()); }
    ground_.shared()[1] = 1;
    if (now->wanted != 0) { ok = perform(chore::kind::fits, now->wanted); }
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    bool const wants = ground_.shared()[1] == 0;
    if (!wants && (!was_low || now->taken < low_at(usable_))) {
      ok = perform(chore::kind::set_low, 0, low_at(usable_));
      if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
      return std::size_t{0};
    }
    std::size_t const step = with_.step_bytes == 0 ? usable_ : with_.step_bytes / P::slab_bytes;
    std::size_t const more = std::max<std::size_t>(step, wants ? now->wanted : 0);
    std::size_t const n = std::min<std::size_t>(more, plan_.layout.slabs - usable_);
    ok = n == 0 ? perform(chore::kind::set_low, 0, low_at(usable_))
                : grow(static_cast<std::uint32_t>(n));
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    return n * P::slab_bytes;
  }

  /// Gives the memory of slabs at the heap's end that nobody has back to the system; one slab
  /// stays.
  /// @return bytes   @error what the ground says   @pre as for `maintain`
  [[nodiscard]] result<std::size_t> trim() noexcept {
    auto ok = perform(chore::kind::reclaim);
    if (ok) { ok = perform(chore::kind::take_last, 1); }
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    std::uint32_t const given = ground_.shared()[1];
    usable_ -= given;
    std::size_t const end = plan_.slabs_at + usable_ * P::slab_bytes;
    ground_.unback(end, ground_.size() - end);  // with what earlier ones left of a piece
    ok = perform(chore::kind::set_low, 0, low_at(usable_));
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    return given * P::slab_bytes;
  }

  /// @cost copies the heap's words to the host: 8 bytes for 1 KiB of it
  /// @error what the ground says; errc::out_of_memory   @pre as for `trim`, for exact numbers
  [[nodiscard]] result<kernel_heap_stats> stats() const noexcept {
    auto words = buffer<std::byte>::make(plan_.layout.bytes, {}, core::destructive_bytes);
    if (!words) { return cuda::std::unexpected<error>(words.error()); }
    if (auto const ok = ground_.read(words->data(), 0, words_of(usable_)); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    kernel_slabs<P> const seen(words->data(), ground_.data() + plan_.slabs_at, plan_.layout.slabs,
                               ground_.shared());
    kernel_heap_counts const now = seen.counts();
    kernel_heap_stats out;
    out.most_bytes = plan_.layout.slabs * P::slab_bytes;
    out.bytes = usable_ * P::slab_bytes;
    out.word_bytes = words_of(usable_);
    out.taken_bytes = now.taken * P::slab_bytes;
    out.peak_bytes = now.peak * P::slab_bytes;
    out.refused = now.refused;
    for (std::uint32_t slab = 0; slab < usable_; ++slab) {
      auto const state = seen.state_of(slab);
      if (state.blocks != 0) {
        out.live_blocks += state.live;
        out.live_bytes += state.live * P::classes::bytes_of(state.size_class);
      }
      out.live_blocks += state.run_slabs != 0 ? 1 : 0;
      out.live_bytes += state.run_slabs * P::slab_bytes;
    }
    return out;
  }

  [[nodiscard]] Ground const& ground() const noexcept { return ground_; }

 private:
  using chore = detail::kernel_heap_chore<P>;
  using layout = kernel_heap_layout<P>;

  struct plan {
    kernel_heap_layout<P> layout;
    std::size_t slabs_at = 0;
  };
  [[nodiscard]] static std::uint32_t slabs_in(std::size_t bytes) noexcept {
    return static_cast<std::uint32_t>(bytes / P::slab_bytes);
  }
  [[nodiscard]] static result<plan> plan_of(kernel_heap_options const& with) noexcept {
    std::size_t const most = with.most_bytes == 0 ? with.bytes : with.most_bytes;
    if (with.bytes < P::slab_bytes || most / P::slab_bytes > std::size_t{1} << 25) {
      return core::fail(errc::bad_argument, 1);
    }
    if (most < with.bytes) { return core::fail(errc::bad_argument, 2); }
    if (with.low_mark > 1000) { return core::fail(errc::bad_argument, 3); }
    if (with.step_bytes != 0 && with.step_bytes < P::slab_bytes) {
      return core::fail(errc::bad_argument, 5);
    }
    plan at{layout::of(slabs_in(most)), 0};
    at.slabs_at = (at.layout.bytes + P::slab_bytes - 1) / P::slab_bytes * P::slab_bytes;
    return at;
  }

  kernel_heap(Ground on, plan const& at, kernel_heap_options const& with) noexcept
      : ground_{std::move(on)}, plan_{at}, with_{with} {}

  [[nodiscard]] kernel_slabs<P> slabs() const noexcept {
    return kernel_slabs<P>(ground_.data(), ground_.data() + plan_.slabs_at, plan_.layout.slabs,
                           ground_.shared());
  }
  [[nodiscard]] result<void> perform(typename chore::kind what, std::uint32_t n = 0,
                                     std::uint32_t low_at = 0) noexcept {
    return ground_.perform(chore{slabs(), what, n, low_at, ground_.shared() + 1});
  }
  /// Bytes of words when so many slabs are usable: those of each slab's blocks come last.
  [[nodiscard]] std::size_t words_of(std::uint32_t usable) const noexcept {
    return plan_.layout.free + std::size_t{usable} * layout::words * 8;
  }
  [[nodiscard]] std::uint32_t low_at(std::uint32_t usable) const noexcept {
    return static_cast<std::uint32_t>(std::uint64_t{usable} * with_.low_mark / 1000);
  }
  [[nodiscard]] result<kernel_heap_counts> counts() const noexcept {
    kernel_heap_counts now;
    if (auto const ok = ground_.read(&now, plan_.layout.counts, sizeof now); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return now;
  }

  [[nodiscard]] result<void> grow(std::uint32_t n) noexcept {
    std::size_t const words_at = words_of(usable_);
    std::size_t const word_bytes = words_of(usable_ + n) - words_at;
    std::size_t const slabs_at = plan_.slabs_at + usable_ * P::slab_bytes;
    auto ok = ground_.back(words_at, word_bytes);
    if (ok) { ok = ground_.clear(words_at, word_bytes); }
    if (ok) { ok = ground_.back(slabs_at, n * P::slab_bytes); }
    if (ok) { ok = perform(chore::kind::add, n, low_at(usable_ + n)); }
    if (ok) {
      usable_ += n;
    } else {
      ground_.unback(slabs_at, n * P::slab_bytes);
    }
    return ok;
  }

  Ground ground_;
  plan plan_;
  kernel_heap_options with_;
  std::uint32_t usable_ = 0;  ///< slabs that have memory
};

}  // namespace millrace::inline v0::memory
