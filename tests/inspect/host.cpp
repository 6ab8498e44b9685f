// SPDX-License-Identifier: Apache-2.0
// inspect_host <docs/design/queue.md>: counts the instructions that one message costs a host thread
// under plain policies, and compares them with what the page states.
#include "stepper.hpp"
#include "table.hpp"
#include <millrace/memory/buffer.hpp>
#include <millrace/queue/launch_host.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <semaphore>
#include <string>
#include <type_traits>
#include <utility>

namespace {

namespace core = millrace::core;
namespace queue = millrace::queue;

struct message {
  std::uint64_t words[8];
};

/// Looks at a message's first and last word: what is counted beside it is the library's.
template <class Reply>
struct ends_of {
  queue::status operator()(queue::message_view<message> view,
                           queue::reply_writer<Reply>& out) const noexcept {
    std::uint64_t const sum = view.value().words[0] + view.value().words[7];
    if constexpr (std::is_same_v<Reply, std::uint64_t>) { out.write(sum); }
    return sum != ~std::uint64_t{0} ? queue::status::ok : queue::status::failed;
  }
};

/// Lets its thread sleep at a message whose first word is not zero, and says that it has come
/// there.
template <class Reply>
struct sleeper {
  std::binary_semaphore* reached = nullptr;
  std::binary_semaphore* wake = nullptr;

  queue::status operator()(queue::message_view<message> view,
                           queue::reply_writer<Reply>& out) const noexcept {
    if (view.value().words[0] != 0) {
      reached->release();
      wake->acquire();
    }
    return ends_of<Reply>{}(view, out);
  }
};

/// The shapes of bench/queue/millrace_transport.hpp, one worker.
template <template <class> class Functor, class Backoff = queue::spin_backoff>
struct stream : queue::default_consumer<message, Functor<queue::no_reply>> {
  using reply = queue::no_reply;
  using backoff = Backoff;
  static constexpr auto completions = queue::completion_mode::none;
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <template <class> class Functor, class Backoff = queue::spin_backoff>
struct call : queue::default_consumer<message, Functor<std::uint64_t>> {
  using backoff = Backoff;
  static constexpr auto claims = queue::claim_mode::pinned;
};

constexpr std::uint32_t capacity = 512;
/// Messages of the smaller run; the larger has twice as many. Both are a whole number of looks at a
/// stop; few, since a step takes microseconds, and far longer on a busy machine.
constexpr std::uint32_t messages = 16;
static_assert(2 * messages < capacity);

[[nodiscard]] queue::message_id number(std::uint32_t i) noexcept { return i; }

template <queue::consumer_policy P>
[[gnu::noinline]] bool submit_all(queue::producer<P>& lane, std::uint32_t count) noexcept {
  message const what{};
  bool all = true;
  for (std::uint32_t i = 0; i < count; ++i) { all = lane.submit(what).has_value() && all; }
  return all;
}

template <queue::consumer_policy P>
[[gnu::noinline]] bool take_all(queue::producer<P>& lane, std::uint32_t count) noexcept {
  bool all = true;
  for (std::uint32_t i = 0; i < count; ++i) { all = lane.try_result(i).has_value() && all; }
  return all;
}

/// Lets the worker sleep. Not through `submit`, which has one caller here, as it has in a loop that
/// must be fast: so it is compiled into it.
template <queue::consumer_policy P>
[[gnu::noinline]] bool send_to_sleep(queue::producer<P>& lane) noexcept {
  auto const slot = lane.reserve();
  if (slot) { **slot = message{{1}}; }
  return slot && lane.commit();
}

/// Counts one part of the way of `count` messages through a producer's handle. Meanwhile the worker
/// sleeps, so that it does not disturb.
template <queue::consumer_policy P>
[[nodiscard]] inspect::stepped count_handle(bool submitting, std::uint32_t count) {
  return inspect::count_instructions([=] {
    std::binary_semaphore reached(0);
    std::binary_semaphore wake(0);
    auto made = queue::launch_host<P>({.capacity = capacity}, {&reached, &wake});
    if (!made) { return false; }
    auto lane = made->open_lane();
    bool fine = lane.has_value() && send_to_sleep(*lane);
    reached.acquire();
    if (submitting) { inspect::counting_stop(); }
    fine = submit_all(*lane, count) && fine;
    if (submitting) { inspect::counting_stop(); }
    fine = send_to_sleep(*lane) && fine;
    wake.release();
    reached.acquire();  // behind all that came before
    if constexpr (P::completions == queue::completion_mode::records) {
      if (!submitting) { inspect::counting_stop(); }
      fine = take_all(*lane, 1 + count) && fine;
      if (!submitting) { inspect::counting_stop(); }
    }
    wake.release();
    return fine;
  });
}

/// A lane, its producer's side and its worker's, on one thread.
template <queue::consumer_policy P>
class parts {
 public:
  parts() {
    control_.workers = 1;
    crew_ = queue::crew_ref<P>(control_, &worker_);
    block_ = std::move(*millrace::memory::buffer<std::byte>::make(
        *queue::lane_ref<P>::bytes(capacity), {}, queue::lane_ref<P>::alignment));
    lane_ = queue::lane_ref<P>::create(block_.data(), capacity, 0);
    args_.lanes = &lane_;
    args_.cursors = &cursor_;
    args_.lane_count = 1;
    args_.crew = crew_;
    owner_.emplace(lane_, crew_, 0u,
                   millrace::memory::buffer_ref<std::uint8_t>(taken_.data(), taken_.size()));
  }
  parts(parts const&) = delete;
  parts& operator=(parts const&) = delete;

  /// What a producer's handle does, without the handle.
  [[nodiscard]] bool submit(message const& what) noexcept {
    if (owner_->admit(1) != millrace::errc::ok) { return false; }
    queue::detail::place(owner_->payload(), what);
    owner_->commit(sizeof(message), 0);
    owner_->offer();
    return true;
  }
  [[nodiscard]] bool take(queue::message_id id) noexcept {
    queue::completion<typename P::reply> got;
    return owner_->take(id, got) == millrace::errc::ok;
  }
  void close() noexcept { crew_.advance(queue::phase::closing); }
  [[gnu::noinline]] void work() noexcept { queue::drain(args_, 0, queue::host_group{}); }
  [[nodiscard]] std::uint64_t processed() const noexcept { return worker_.processed; }

 private:
  queue::crew_control control_;
  queue::worker_control worker_;
  queue::lane_cursor cursor_;
  std::array<std::uint8_t, capacity> taken_{};
  millrace::memory::buffer<std::byte> block_;
  queue::crew_ref<P> crew_;
  queue::lane_ref<P> lane_;
  std::optional<queue::lane_owner<P>> owner_;
  queue::drain_args<P> args_;
};

/// Counts what a worker does with `count` messages that lie in its lane.
template <queue::consumer_policy P>
[[nodiscard]] inspect::stepped count_drain(std::uint32_t count) {
  return inspect::count_instructions([=] {
    parts<P> all;
    bool fine = true;
    for (std::uint32_t i = 0; i < count; ++i) { fine = all.submit({}) && fine; }
    all.close();
    inspect::counting_stop();
    all.work();
    inspect::counting_stop();
    return fine && all.processed() == count;
  });
}

/// A worker's wait during which the producer has its turn, on the same thread.
struct taking_turns {
  static inline void (*turn)() = nullptr;

  static constexpr bool blocks = false;
  static void pause() noexcept { turn(); }
  static void reset(std::uint32_t) noexcept {}
};

/// Counts the whole way of `count` messages there and back, one in flight, and the worker's rounds
/// that find nothing.
[[nodiscard]] inspect::stepped count_round_trips(std::uint32_t count) {
  using policy = call<ends_of, taking_turns>;
  static std::uint32_t sent = 0;
  static std::uint32_t until = 0;
  static bool fine = true;
  static parts<policy>* all = nullptr;
  return inspect::count_instructions([=] {
    parts<policy> here;
    all = &here;
    until = count;
    taking_turns::turn = [] {
      if (sent > until) { return; }  // closed: the worker looks a few more times
      if (sent != 0) { fine = all->take(number(sent - 1)) && fine; }
      if (sent++ == until) { return all->close(); }
      fine = all->submit({}) && fine;
    };
    inspect::counting_stop();
    here.work();
    inspect::counting_stop();
    return fine && here.processed() == count;
  });
}

/// Counts and compares the rows of the page one by one.
class comparison {
 public:
  explicit comparison(inspect::stated_numbers const& page) : page_(page) {}

  /// The difference of two runs is what the further messages cost.
  template <class Count>
  void row(std::string const& key, Count count) {
    inspect::stepped const small = count(messages);
    inspect::stepped const large = count(2 * messages);
    if (problem_.empty()) { problem_ = small.problem.empty() ? large.problem : small.problem; }
    if (!small.problem.empty() || !large.problem.empty()) { return; }
    auto const difference = static_cast<double>(large.instructions - small.instructions);
    fine_ = page_.hold(key, {difference / messages}) && fine_;
  }

  [[nodiscard]] int status() const {
    if (problem_ == inspect::may_not_trace) { return inspect::skip(problem_); }
    if (!problem_.empty()) { std::printf("%s\n", problem_.c_str()); }
    return fine_ && problem_.empty() ? 0 : 1;
  }

 private:
  inspect::stated_numbers const& page_;
  std::string problem_;
  bool fine_ = true;
};

}  // namespace

int main(int count, char** words) {
  if (count != 2) { return 2; }
  inspect::stated_numbers const page(words[1]);
  std::string const other = inspect::other_compiler(page);
  if (!other.empty()) { return inspect::skip(other); }
  std::printf("%s, instructions a message\n", inspect::compiler().c_str());
  comparison all(page);
  all.row("stream.submit", [](std::uint32_t n) { return count_handle<stream<sleeper>>(true, n); });
  all.row("stream.drain", [](std::uint32_t n) { return count_drain<stream<ends_of>>(n); });
  all.row("call.submit", [](std::uint32_t n) { return count_handle<call<sleeper>>(true, n); });
  all.row("call.drain", [](std::uint32_t n) { return count_drain<call<ends_of>>(n); });
  all.row("call.take", [](std::uint32_t n) { return count_handle<call<sleeper>>(false, n); });
  all.row("call.round_trip", [](std::uint32_t n) { return count_round_trips(n); });
  return all.status();
}
