// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace millrace_test {

/// A device with streams whose work is done when the test says so, in any order that events allow.
/// It keeps, for each stream, how far each other stream's work is known to be done before its own
/// (a vector clock), and for each byte who used it last. `hand_out` says whether a stream may use
/// bytes: each earlier use is in its order, behind an event that it waits for, or in work that the
/// host saw the end of.
/// @thread one
class simulated_device {
 public:
  static constexpr std::uint32_t most_handles = 8;
  static constexpr std::uint32_t most_streams = 64;
  using clock = std::array<std::uint64_t, most_streams>;

  /// @return the lowest free handle, for one more stream: it may have been another stream's
  std::uint32_t create() {
    std::uint32_t s = 0;
    while (at_[s] != nobody) { ++s; }
    at_[s] = made_++;
    return s;
  }
  /// The stream's work is done all the same, later.
  void destroy(std::uint32_t s) { at_[s] = nobody; }
  [[nodiscard]] bool can_create() const { return made_ < most_streams; }

  /// Submits work that uses bytes.
  void use(std::uint32_t s, void const* p, std::size_t bytes) {
    submit(s, {kind::work, 0, 0});
    uses_.push_back({address(p), bytes, at_[s], of(s).submitted});
  }
  /// Whether a stream may use bytes that it gets now; null: any stream, at once.
  [[nodiscard]] bool hand_out(std::uint32_t const* to, void const* p, std::size_t bytes) {
    bool right = true;
    std::erase_if(uses_, [&](use_of const& u) {
      if (u.at <= observed_[u.by]) { return true; }  // nobody has to wait for it any more
      bool const overlaps = u.begin < address(p) + bytes && address(p) < u.begin + u.bytes;
      bool const ordered = to != nullptr && u.at <= of(*to).before[u.by];
      right = right && (!overlaps || ordered);
      return false;
    });
    return right;
  }
  /// Bytes whose uses nobody may remember: they went back to upstream.
  [[nodiscard]] bool give_back(void const* p, std::size_t bytes) {
    return hand_out(nullptr, p, bytes);
  }

  /// Lets a stream do up to `steps` pieces of its work.
  void advance(std::uint32_t s, std::uint64_t steps) {
    if (exists(s)) { work(of(s), steps); }
  }
  /// Lets all streams do all their work, those that were destroyed too.
  void finish() {
    for (bool more = true; more;) {
      more = false;
      for (std::uint32_t i = 0; i < made_; ++i) {
        std::uint64_t const before = streams_[i].done;
        work(streams_[i], ~std::uint64_t{0});
        more = more || streams_[i].done != before;
      }
    }
  }
  /// The same, with the host looking on.
  void synchronise() {
    finish();
    for (std::uint32_t i = 0; i < made_; ++i) { observed_[i] = streams_[i].done; }
  }
  /// One stream's later work waits for all of another's so far.
  void join(std::uint32_t waiter, std::uint32_t other) {
    auto const e = make_event();
    record(e, other);
    order(waiter, e);
    drop_event(e);
  }

  void begin_capture(std::uint32_t s) { of(s).capture = ++last_capture_; }
  void end_capture(std::uint32_t s) { of(s).capture = 0; }

  // what a model asks
  [[nodiscard]] bool exists(std::uint32_t s) const { return s < most_handles && at_[s] != nobody; }
  [[nodiscard]] std::uint64_t id(std::uint32_t s) const { return at_[s]; }
  [[nodiscard]] std::uint64_t capture(std::uint32_t s) const { return of(s).capture; }
  [[nodiscard]] std::uint32_t make_event() {
    ++live_events;
    events_.push_back({});
    return static_cast<std::uint32_t>(events_.size() - 1);
  }
  void drop_event(std::uint32_t e) {
    broken += events_[e].dropped ? 1 : 0;
    events_[e].dropped = true;
    --live_events;
  }
  void record(std::uint32_t e, std::uint32_t s) {
    if (!exists(s) || events_[e].dropped) {
      ++broken;
      return;
    }
    captured_records += of(s).capture != 0 ? 1 : 0;
    events_[e].by = at_[s];
    events_[e].at = of(s).submitted;
    events_[e].before = of(s).before;
  }
  [[nodiscard]] bool done(std::uint32_t e) {
    event const& at = events_[e];
    broken += at.dropped ? 1 : 0;
    if (streams_[at.by].done < at.at) { return false; }
    merge(observed_, at.before);
    return true;
  }
  void order(std::uint32_t s, std::uint32_t e) {
    if (!exists(s) || events_[e].dropped) {
      ++broken;
      return;
    }
    captured_records += of(s).capture != 0 ? 1 : 0;
    submit(s, {kind::wait, events_[e].by, events_[e].at});
    merge(of(s).before, events_[e].before);
  }

  std::uint64_t now_ns = 0;
  std::uint64_t live_events = 0;
  std::uint64_t broken = 0;            ///< calls with streams or events that are gone
  std::uint64_t captured_records = 0;  ///< calls that would have gone into a graph

 private:
  enum class kind { work, wait };
  struct piece {
    kind what;
    std::uint32_t by;
    std::uint64_t at;
  };
  struct stream {
    std::uint64_t capture = 0;
    std::uint64_t submitted = 0;
    std::uint64_t done = 0;
    clock before{};  ///< how far each stream's work comes before this one's next
    std::deque<piece> queue;
  };
  struct event {
    bool dropped = false;
    std::uint32_t by = 0;
    std::uint64_t at = 0;
    clock before{};
  };
  struct use_of {
    std::uintptr_t begin;
    std::size_t bytes;
    std::uint32_t by;
    std::uint64_t at;
  };

  static std::uintptr_t address(void const* p) { return reinterpret_cast<std::uintptr_t>(p); }
  static void merge(clock& into, clock const& from) {
    for (std::size_t i = 0; i < most_streams; ++i) { into[i] = std::max(into[i], from[i]); }
  }
  [[nodiscard]] bool reached(piece const& p) const { return streams_[p.by].done >= p.at; }
  void submit(std::uint32_t s, piece what) {
    of(s).queue.push_back(what);
    of(s).before[at_[s]] = ++of(s).submitted;
  }
  void work(stream& at, std::uint64_t steps) {
    while (steps-- != 0 && !at.queue.empty()) {
      piece const next = at.queue.front();
      if (next.what == kind::wait && !reached(next)) { return; }
      at.queue.pop_front();
      ++at.done;
    }
  }
  [[nodiscard]] stream& of(std::uint32_t s) { return streams_[at_[s]]; }
  [[nodiscard]] stream const& of(std::uint32_t s) const { return streams_[at_[s]]; }

  static constexpr std::uint32_t nobody = ~std::uint32_t{0};
  std::array<std::uint32_t, most_handles> at_ = {nobody, nobody, nobody, nobody,
                                                 nobody, nobody, nobody, nobody};
  std::uint32_t made_ = 0;
  std::array<stream, most_streams> streams_;
  std::vector<event> events_;
  std::vector<use_of> uses_;
  clock observed_{};
  std::uint64_t last_capture_ = 0;
};

/// Which calls of a model fail. 0: none.
struct event_faults {
  std::uint64_t one_in = 0;
  std::uint64_t seed = 1;
  std::uint64_t failed = 0;

  [[nodiscard]] bool strikes() {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    bool const now = one_in != 0 && (seed >> 33) % one_in == 0;
    failed += now ? 1 : 0;
    return now;
  }
};

/// The model of a stream pool over a simulated device.
struct simulated_streams {
  using stream = std::uint32_t;
  using event = std::uint32_t;

  simulated_device* device = nullptr;
  event_faults* faults = nullptr;
  std::uint64_t* advance_on_pause = nullptr;  ///< steps that every stream does while the host waits

  [[nodiscard]] millrace::result<void> admit(stream s) const noexcept {
    if (!device->exists(s)) { return millrace::core::fail(millrace::errc::bad_argument); }
    return {};
  }
  [[nodiscard]] millrace::result<std::uint64_t> id(stream s) const noexcept {
    if (!device->exists(s)) { return std::uint64_t{1} << 40; }  // so that `admit` says it
    return device->id(s);
  }
  [[nodiscard]] bool runs(stream s) const noexcept {
    return !device->exists(s) || device->capture(s) == 0;
  }
  [[nodiscard]] millrace::result<bool> capturing(stream s) const noexcept {
    return device->exists(s) && device->capture(s) != 0;
  }
  [[nodiscard]] millrace::result<std::uint64_t> capture_id(stream s) const noexcept {
    return device->capture(s);
  }
  [[nodiscard]] millrace::result<event> make_event() const noexcept {
    if (strikes()) { return fault(); }
    return device->make_event();
  }
  void drop_event(event e) const noexcept { device->drop_event(e); }
  [[nodiscard]] millrace::result<void> record(event e, stream s) const noexcept {
    if (strikes()) { return fault(); }
    device->record(e, s);
    return {};
  }
  [[nodiscard]] millrace::result<bool> done(event e) const noexcept {
    if (strikes()) { return fault(); }
    return device->done(e);
  }
  [[nodiscard]] millrace::result<void> order(stream s, event e) const noexcept {
    if (strikes()) { return fault(); }
    device->order(s, e);
    return {};
  }
  [[nodiscard]] std::uint64_t now_ns() const noexcept { return device->now_ns; }
  void pause() const noexcept {
    device->now_ns += 1000;
    if (advance_on_pause == nullptr) { return; }
    for (stream s = 0; s < simulated_device::most_handles; ++s) {
      device->advance(s, *advance_on_pause);
    }
  }

 private:
  [[nodiscard]] bool strikes() const noexcept { return faults != nullptr && faults->strikes(); }
  [[nodiscard]] static cuda::std::unexpected<millrace::error> fault() noexcept {
    return millrace::core::fail(millrace::errc::native_failure, millrace::core::origin::cuda, 999);
  }
};

/// A resource that asks a simulated device whether what comes back is at rest.
template <class Upstream>
struct watched_resource {
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = true;

  Upstream upstream;
  simulated_device* device;
  std::uint64_t* early;  ///< pieces that came back while work used them

  [[nodiscard]] millrace::result<void*> try_allocate(std::size_t bytes,
                                                     std::size_t alignment) noexcept {
    return upstream.try_allocate(bytes, alignment);
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    *early += device->give_back(p, bytes) ? 0 : 1;
    upstream.deallocate(p, bytes, alignment);
  }
  [[nodiscard]] friend bool operator==(watched_resource const& a, watched_resource const& b) {
    return a.upstream == b.upstream;
  }
};

}  // namespace millrace_test
