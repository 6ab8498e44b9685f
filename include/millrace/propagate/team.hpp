// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/parking.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/resource.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <pthread.h>
#include <sched.h>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::propagate {

/// How the threads of a team start and wait. Derive from default_team, override what differs.
template <class L>
concept team_policy = requires(pthread_t& thread, void* (*code)(void*), void* of) {
  requires memory::host_accessible_resource<typename L::resource>;
  requires core::access_policy<typename L::access>;
  requires core::parking_policy<typename L::parking>;
  { L::spins } -> std::convertible_to<std::uint32_t>;
  { L::crowded_spins } -> std::convertible_to<std::uint32_t>;
  { L::pause() } noexcept;
  { L::processors() } noexcept -> std::same_as<std::uint32_t>;
  { L::start(thread, code, of) } noexcept -> std::same_as<int>;
};

struct default_team {
  using resource = memory::host_resource;
  using access = core::direct_access<cuda::thread_scope_system>;
  using parking = core::futex_parking;
  /// Looks for work, or for the end of it, before a thread sleeps: some 100 microseconds, in which
  /// the next level of a graph comes. It does not yield meanwhile: a thread that sleeps has its
  /// processor back sooner than one that has let another program have it.
  static constexpr std::uint32_t spins = 4096;
  /// The same where members have to share processors: who is waited for may be in need of one.
  static constexpr std::uint32_t crowded_spins = 64;
  static void pause() noexcept { core::relax(); }  ///< between two looks
  /// On which the threads that the caller starts may run.
  [[nodiscard]] static std::uint32_t processors() noexcept {
    cpu_set_t set;
    bool const known = ::sched_getaffinity(0, sizeof set, &set) == 0;  // not if there are too many
    return known ? static_cast<std::uint32_t>(CPU_COUNT(&set)) : CPU_SETSIZE;
  }
  /// @return 0, or errno
  [[nodiscard]] static int start(pthread_t& thread, void* (*code)(void*), void* of) noexcept {
    return ::pthread_create(&thread, nullptr, code, of);
  }
};
static_assert(team_policy<default_team>);

/// What a team does for each task: body(task, member).
template <class B>
concept team_body =
    std::is_nothrow_invocable_v<std::remove_reference_t<B>&, std::uint32_t, std::uint32_t>;

namespace detail {

/// The tasks [begin, end) as they lie in one word.
struct task_range {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;

  [[nodiscard]] static constexpr task_range of(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
  }
  [[nodiscard]] constexpr std::uint64_t word() const noexcept {
    return std::uint64_t{end} << 32 | begin;
  }
  [[nodiscard]] constexpr bool empty() const noexcept { return begin == end; }
};

/// A member's place.
struct alignas(core::destructive_bytes) team_seat {
  std::uint64_t left = 0;    // a task_range: what it has still to do, as long as nobody takes it
  std::uint32_t asleep = 0;  // 1: whoever has work wakes it
  std::uint32_t member = 0;
  void* team = nullptr;
  pthread_t thread{};
};

struct team_job {
  void (*call)(void* body, std::uint32_t task, std::uint32_t member) noexcept = nullptr;
  void* body = nullptr;
};

/// What the members of a team share, without their threads. One word, the gate, says who may be
/// where: a caller opens it for its job and shuts it; who is inside is counted in it, and who does
/// not come in as long as it is open does not come in at all. So a caller waits for nobody but
/// those who have entered, and whoever comes late finds it shut.
template <class L>
class team_core {
  using A = typename L::access;
  using parking = typename L::parking;

 public:
  static constexpr std::uint32_t most_members = 4096;

  /// @param spins  looks before a thread sleeps
  team_core(team_seat* seats, std::uint32_t members, std::uint32_t spins) noexcept
      : seats_{seats}, members_{members}, spins_{spins} {}
  team_core(team_core const&) = delete;
  team_core& operator=(team_core const&) = delete;

  [[nodiscard]] std::uint32_t members() const noexcept { return members_; }
  [[nodiscard]] team_seat& seat(std::uint32_t member) const noexcept { return seats_[member]; }

  /// Has all tasks done by the caller, as member 0, and those who come in.
  /// @return false: somebody else has the team, and nothing is done
  [[nodiscard]] bool run(std::uint32_t tasks, team_job job) noexcept {
    std::uint32_t now = A::load(gate_, core::relaxed, "team.idle");
    if ((now & held) != 0 ||
        !A::compare_exchange(gate_, now, now | held, core::acquire, core::relaxed, "team.hold")) {
      return false;
    }
    A::write(&job_, sizeof job_, "team.job");
    job_ = job;
    for (std::uint32_t m = 0; m < members_; ++m) {
      task_range const part{share(tasks, m), share(tasks, m + 1)};
      A::store(seats_[m].left, part.word(), core::relaxed, "team.deal");
    }
    now += one_job;
    // in one total order with the looks of those who fall asleep: they see it or are seen
    A::store(gate_, now | held | open, core::seq_cst, "team.open");
    wake(std::min(tasks, members_));
    work(0);
    shut();
    A::store(gate_, now, core::release, "team.free");
    return true;
  }

  /// What member `me`, not 0, does until the team stops.
  void serve(std::uint32_t me) noexcept {
    std::uint32_t last = 0;
    for (;;) {
      std::uint32_t now = await(me, last);
      if ((now & stopped) != 0) { return; }
      if (!A::compare_exchange(gate_, now, now + one_inside, core::acquire, core::relaxed,
                               "team.enter")) {
        continue;
      }
      last = job_of(now);
      work(me);
      leave();
    }
  }

  /// Sends all away, with nobody in `run`.
  void stop() noexcept {
    static_cast<void>(A::fetch_or(gate_, stopped, core::seq_cst, "team.stop"));
    wake(members_);
  }

 private:
  // The gate. The number of the job is above: who has done what it found of one does not come in
  // again. It wraps: who slept through exactly 65,536 of them misses one more.
  static constexpr std::uint32_t stopped = 1;
  static constexpr std::uint32_t held = 2;
  static constexpr std::uint32_t open = 4;
  static constexpr std::uint32_t waits = 8;  // the caller sleeps until all are out
  static constexpr std::uint32_t one_inside = 16;
  static constexpr std::uint32_t one_job = one_inside * most_members;
  static constexpr std::uint32_t inside = one_job - one_inside;
  static constexpr std::uint64_t a_while_ns = std::numeric_limits<std::uint64_t>::max();

  [[nodiscard]] static constexpr std::uint32_t job_of(std::uint32_t gate) noexcept {
    return gate / one_job;
  }
  [[nodiscard]] static constexpr bool calls(std::uint32_t gate, std::uint32_t last) noexcept {
    return (gate & stopped) != 0 || ((gate & open) != 0 && job_of(gate) != last);
  }
  /// The first task of a member's part.
  [[nodiscard]] std::uint32_t share(std::uint32_t tasks, std::uint32_t member) const noexcept {
    return static_cast<std::uint32_t>(std::uint64_t{tasks} * member / members_);
  }

  /// @return the gate as it was when there was something new for the member
  [[nodiscard]] std::uint32_t await(std::uint32_t me, std::uint32_t last) noexcept {
    std::uint32_t& asleep = seats_[me].asleep;
    for (std::uint32_t looks = 0;;) {
      std::uint32_t now = A::load(gate_, core::relaxed, "team.look");
      if (calls(now, last)) { return now; }
      if (++looks < spins_) {
        L::pause();
        continue;
      }
      looks = 0;
      A::store(asleep, 1U, core::seq_cst, "team.fall_asleep");
      now = A::load(gate_, core::seq_cst, "team.last_look");
      if (!calls(now, last)) { parking::park(asleep, 1U, a_while_ns); }
      A::store(asleep, 0U, core::relaxed, "team.wake_up");
    }
  }
  /// Wakes who sleeps of the first `members`.
  void wake(std::uint32_t members) noexcept {
    for (std::uint32_t m = 1; m < members; ++m) {
      std::uint32_t& asleep = seats_[m].asleep;
      if (A::load(asleep, core::seq_cst, "team.asleep") == 0) { continue; }
      A::store(asleep, 0U, core::relaxed, "team.wake");
      parking::wake(asleep);
    }
  }

  /// Does tasks until there are none that nobody has taken.
  void work(std::uint32_t me) noexcept {
    A::read(&job_, sizeof job_, "team.job");
    team_job const job = job_;
    for (std::uint32_t task = 0; take(me, task) || steal(me, task);) {
      job.call(job.body, task, me);
    }
  }
  // Words of tasks need no order of their own: who is inside has seen all that came before the job,
  // and a range moves from word to word but never is in two.
  [[nodiscard]] bool take(std::uint32_t me, std::uint32_t& task) noexcept {
    std::uint64_t word = A::load(seats_[me].left, core::relaxed, "team.own");
    for (;;) {
      task_range const left = task_range::of(word);
      if (left.empty()) { return false; }
      task = left.begin;
      task_range const rest{left.begin + 1, left.end};
      if (A::compare_exchange(seats_[me].left, word, rest.word(), core::relaxed, core::relaxed,
                              "team.take")) {
        return true;
      }
    }
  }
  /// Takes the second half of what another member has left, the first of it to do at once.
  [[nodiscard]] bool steal(std::uint32_t me, std::uint32_t& task) noexcept {
    for (std::uint32_t step = 1; step < members_; ++step) {
      std::uint32_t const from = me + step < members_ ? me + step : me + step - members_;
      std::uint64_t word = A::load(seats_[from].left, core::relaxed, "team.others");
      for (task_range all = task_range::of(word); !all.empty(); all = task_range::of(word)) {
        task = all.begin + (all.end - all.begin) / 2;
        task_range const rest{all.begin, task};
        if (!A::compare_exchange(seats_[from].left, word, rest.word(), core::relaxed, core::relaxed,
                                 "team.steal")) {
          continue;
        }
        task_range const mine{task + 1, all.end};  // nobody takes from a word that says none
        if (!mine.empty()) { A::store(seats_[me].left, mine.word(), core::relaxed, "team.keep"); }
        return true;
      }
    }
    return false;
  }

  void leave() noexcept {
    std::uint32_t const before =
        A::fetch_add(gate_, std::uint32_t{0} - one_inside, core::release, "team.leave");
    if ((before & waits) != 0 && (before & inside) == one_inside) { parking::wake(gate_); }
  }
  /// Lets nobody in any more, and waits until all are out.
  void shut() noexcept {
    std::uint32_t now = A::fetch_and(gate_, ~open, core::acquire, "team.shut");
    for (std::uint32_t looks = 0; (now & inside) != 0;) {
      if (++looks < spins_) {
        L::pause();
        now = A::load(gate_, core::acquire, "team.left");
        continue;
      }
      looks = 0;
      now = A::fetch_or(gate_, waits, core::acquire, "team.wait") | waits;
      if ((now & inside) == 0) { return; }
      parking::park(gate_, now, a_while_ns);
    }
  }

  alignas(core::destructive_bytes) std::uint32_t gate_ = 0;
  alignas(core::destructive_bytes) team_job job_;
  team_seat* seats_;
  std::uint32_t members_;
  std::uint32_t spins_;
};

}  // namespace detail

/// Threads that do the tasks of one caller at a time. Each begins with neighbouring tasks, an equal
/// share; who has none left takes half of what another has left. Between two runs they look for
/// work for some 100 microseconds, then they sleep.
/// @thread run: any; all else as for any object
template <team_policy L = default_team>
class basic_team {
  using core_type = detail::team_core<L>;

 public:
  using resource = typename L::resource;
  static constexpr std::uint32_t most_members = core_type::most_members;

  /// The calling thread alone. Not defaulted, which nvcc would take for a device's function too.
  basic_team() noexcept
    requires std::default_initializable<resource>
      : from_{} {}

  /// @param members  with the calling thread: members - 1 threads are started
  /// @error errc::bad_argument, native 1, for no members or more than most_members;
  ///        errc::out_of_memory; errc::native_failure (POSIX) when a thread cannot start
  [[nodiscard]] static result<basic_team> make(std::uint32_t members, resource from = {}) noexcept {
    if (members == 0 || members > most_members) { return core::fail(errc::bad_argument, 1); }
    auto const given = from.try_allocate(bytes_of(members), alignof(core_type));
    if (!given) { return cuda::std::unexpected<error>(given.error()); }
    auto* const seats =
        reinterpret_cast<detail::team_seat*>(static_cast<std::byte*>(*given) + sizeof(core_type));
    std::uninitialized_value_construct_n(seats, members);
    std::uint32_t const spins = L::processors() < members ? L::crowded_spins : L::spins;
    basic_team made(::new (*given) core_type(seats, members, spins), std::move(from));
    for (std::uint32_t m = 1; m < members; ++m) {
      seats[m].member = m;
      seats[m].team = made.core_;
      int const failed = L::start(seats[m].thread, &serve, &seats[m]);
      if (failed != 0) { return core::fail(errc::native_failure, core::origin::posix, failed); }
      made.started_ = m;
    }
    return made;
  }

  basic_team(basic_team&& other) noexcept
      : core_{std::exchange(other.core_, nullptr)},
        started_{std::exchange(other.started_, 0)},
        from_{other.from_} {}
  basic_team& operator=(basic_team&& other) noexcept {
    basic_team moved(std::move(other));
    std::swap(core_, moved.core_);
    std::swap(started_, moved.started_);
    std::swap(from_, moved.from_);
    return *this;
  }
  /// Ends the threads.
  /// @pre nobody is in `run`
  ~basic_team() {
    if (core_ == nullptr) { return; }
    core_->stop();
    for (std::uint32_t m = 1; m <= started_; ++m) {
      ::pthread_join(core_->seat(m).thread, nullptr);
    }
    std::uint32_t const members = core_->members();
    core_->~core_type();
    from_.deallocate(core_, bytes_of(members), alignof(core_type));
  }

  /// Members, with the caller of `run`.
  [[nodiscard]] std::uint32_t size() const noexcept {
    return core_ == nullptr ? 1 : core_->members();
  }

  /// Calls body(task, member) once for each task < tasks, and returns when all have been done. The
  /// caller is member 0; no two calls are made at once for the same member < size(). What the
  /// caller wrote before is seen by all of them, and what they wrote is seen by the caller. They
  /// must not wait for each other: when another thread is in `run`, or this is called by a body,
  /// the caller does all of them, as member 0 of this run. So what a body keeps for each member
  /// must be the run's own.
  /// @cost without work under a microsecond while the members are awake; else a call of the system
  ///       for each that sleeps
  template <class Body>
    requires team_body<Body>
  void run(std::uint32_t tasks, Body&& body) noexcept {
    using body_type = std::remove_reference_t<Body>;
    if (core_ != nullptr && core_->members() > 1 && tasks > 1) {
      auto const call = [](void* of, std::uint32_t task, std::uint32_t member) noexcept {
        (*static_cast<body_type*>(of))(task, member);
      };
      void const* const of = std::addressof(body);
      if (core_->run(tasks, {call, const_cast<void*>(of)})) { return; }
    }
    for (std::uint32_t task = 0; task < tasks; ++task) { body(task, std::uint32_t{0}); }
  }

 private:
  basic_team(core_type* core, resource from) noexcept : core_{core}, from_{std::move(from)} {}

  [[nodiscard]] static constexpr std::size_t bytes_of(std::uint32_t members) noexcept {
    return sizeof(core_type) + members * sizeof(detail::team_seat);
  }
  [[nodiscard]] static void* serve(void* of) noexcept {
    auto const& seat = *static_cast<detail::team_seat const*>(of);
    static_cast<core_type*>(seat.team)->serve(seat.member);
    return nullptr;
  }

  core_type* core_ = nullptr;
  std::uint32_t started_ = 0;
  resource from_;
};

using team = basic_team<>;

}  // namespace millrace::inline v0::propagate
