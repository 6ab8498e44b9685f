// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/recover/ladder.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::memory {

/// How near a budget is to its end.
enum class pressure : std::uint32_t {
  none = 0,
  low = 1,       ///< above the soft limit: give up what is easily had again
  high = 2,      ///< begin no new work
  critical = 3,  ///< the next allocations fail
};

/// How much may be in use, and when to say that it grows tight. Marks are thousandths of
/// `hard_bytes`, rising; a level that was reached is left when use falls `gap` below its mark, so
/// that it does not flicker.
struct budget_limits {
  std::uint64_t hard_bytes = ~std::uint64_t{0} >> 1;  ///< no more than that
  std::uint32_t low_mark = 700;
  std::uint32_t high_mark = 850;
  std::uint32_t critical_mark = 950;
  std::uint32_t gap = 50;
  std::uint32_t tries = 2;  ///< of a step that brought something, before the next
};

/// A step that gives memory back: what its owner can do without, an idle cache, a trim, a wait for
/// work that holds memory. It may use this budget and any other, but has then what room there is
/// and asks no step; it may not wait for a thread that may want room, which would wait for it.
struct relief {
  /// @return bytes that it gave back, as well as it knows; 0 when there was nothing
  using function = std::uint64_t (*)(std::uint64_t wanted_bytes, void* context) noexcept;

  char const* name = "";
  function give_back = nullptr;
  void* context = nullptr;
};

/// Hears of levels. Called by the thread that moved it, perhaps out of a step or between two: it
/// may use the budget as a step may, and moves of several threads may come in another order than
/// they were made.
using pressure_listener = void (*)(pressure from, pressure to, void* context) noexcept;

/// What is in use, and what went wrong. Each number is exact by itself.
struct budget_counts {
  std::uint64_t live_bytes = 0;  ///< reservations included
  std::uint64_t peak_bytes = 0;
  std::uint64_t reserved_bytes = 0;    ///< promised and not yet used
  std::uint64_t climbs = 0;            ///< times that the steps were asked
  std::uint64_t given_back_bytes = 0;  ///< as they say
  std::uint64_t refused = 0;           ///< allocations and reservations that got an error
};

/// One budget for any number of resources that share it. A budget may be a part of a whole, by
/// tenant, by tag or by resource: what is taken of the part is taken of the whole too, and must fit
/// into both. Its steps are asked first, then those of the whole, unless the part has no room of
/// its own, which those could not make. Neither moves nor copies: resources and parts hold its
/// address.
/// @thread any; steps and listener are set before the others begin
class budget {
 public:
  static constexpr std::uint32_t most_steps = 8;

  explicit budget(budget_limits limits = {}) noexcept : limits_{limits} {}
  /// A part of `whole`, which outlives it.
  budget(budget_limits limits, budget& whole) noexcept
      : limits_{limits}, whole_{&whole}, top_{whole.top_} {}
  budget(budget const&) = delete;
  budget& operator=(budget const&) = delete;

  /// Appends a step to those that are tried when there is no room, gentlest first.
  /// @error errc::bad_argument 1 when it has no function, errc::full beyond most_steps
  [[nodiscard]] result<void> add_step(relief step) noexcept {
    if (step.give_back == nullptr) { return core::fail(errc::bad_argument, 1); }
    if (step_count_ == most_steps) { return core::fail(errc::full); }
    steps_[step_count_++] = step;
    return {};
  }
  void listen(pressure_listener listener, void* context) noexcept {
    listener_ = listener;
    context_ = context;
  }

  /// Changes what may be in use; what is in use already stays.
  void set_hard_bytes(std::uint64_t bytes) noexcept {
    words::store(limits_.hard_bytes, bytes, core::relaxed, "budget.limit");
    watch();
  }

  [[nodiscard]] std::uint64_t hard_bytes() const noexcept { return look(limits_.hard_bytes); }

  [[nodiscard]] pressure level() const noexcept {
    return static_cast<pressure>(words::load(level_, core::relaxed, "budget.level"));
  }
  [[nodiscard]] budget_counts counts() const noexcept {
    return {look(counts_.live_bytes), look(counts_.peak_bytes),       look(counts_.reserved_bytes),
            look(counts_.climbs),     look(counts_.given_back_bytes), look(counts_.refused)};
  }

  /// Takes bytes of the budget, without a look for others to give any back.
  [[nodiscard]] bool try_take(std::uint64_t bytes) noexcept {
    // a look first: what the whole will refuse is not to keep others out of the part meanwhile
    for (budget const* b = whole_; b != nullptr; b = b->whole_) {
      if (!b->fits(bytes, look(b->counts_.live_bytes))) { return false; }
    }
    std::uint64_t live = look(counts_.live_bytes);
    do {
      if (!fits(bytes, live)) { return false; }
    } while (!words::compare_exchange(counts_.live_bytes, live, live + bytes, core::seq_cst,
                                      core::relaxed, "budget.take"));
    bool const had = whole_ == nullptr || whole_->try_take(bytes);  // may be another's since
    if (had) {
      raise_peak(live + bytes);
    } else {
      add(counts_.live_bytes, 0 - bytes);
    }
    watch();
    return had;
  }
  void give(std::uint64_t bytes) noexcept {
    add(counts_.live_bytes, 0 - bytes);
    watch();
    if (whole_ != nullptr) { whole_->give(bytes); }
  }

  /// Asks the steps for room, one after the other and of a whole and its parts one thread at a
  /// time, until `attempt()` gives a value; each that brought something is asked again,
  /// `limits.tries` times at most.
  /// @return what the last attempt gave; the first is made before any step. No step is asked for
  ///         more than a whole budget, or by a step
  template <class Attempt>
  [[nodiscard]] auto climb(std::uint64_t wanted_bytes, Attempt attempt) noexcept
      -> std::invoke_result_t<Attempt&> {
    auto got = attempt();
    if (!lacks_room(got)) { return got; }  // there, or bad input
    bool hopeless = false, steps = false;
    for (budget const* b = this; b != nullptr; b = b->whole_) {
      hopeless = hopeless || wanted_bytes > look(b->limits_.hard_bytes);
      steps = steps || b->step_count_ != 0;
    }
    std::thread::id const me = std::this_thread::get_id();
    bool const within_a_climb = top_->climber_.load() == me;
    if (steps && !hopeless && !within_a_step_ && !within_a_climb) {
      std::scoped_lock const alone(top_->climbing_);
      top_->climber_ = me;
      got = attempt();  // whoever climbed before may have made room for two
      for (budget* b = this; lacks_room(got) && b != nullptr; b = b->whole_) {
        b->ask(wanted_bytes, attempt, got);
        if (!got && !b->fits(wanted_bytes, look(b->counts_.live_bytes))) { break; }
      }
      top_->climber_ = std::thread::id();
    }
    if (!got) { add(counts_.refused, 1); }
    return got;
  }

  /// Bytes of a budget that are promised to their holder, who takes them by allocating through
  /// `reserved_resource`, and gives the rest back at its end.
  class reservation {
   public:
    reservation(reservation&& other) noexcept
        : of_{std::exchange(other.of_, nullptr)}, left_{std::exchange(other.left_, 0)} {}
    reservation& operator=(reservation&& other) noexcept {
      reservation moved(std::move(other));
      std::swap(of_, moved.of_);
      std::swap(left_, moved.left_);
      return *this;
    }
    ~reservation() {
      if (of_ == nullptr) { return; }
      of_->note_reserved(0 - left_);
      of_->give(left_);
    }

    [[nodiscard]] std::uint64_t left_bytes() const noexcept { return left_; }
    [[nodiscard]] bool is_of(budget const& other) const noexcept { return of_ == &other; }

    /// Makes bytes of it ordinary ones, which whoever has them gives back to the budget.
    /// @return false when so many are not left
    [[nodiscard]] bool use(std::uint64_t bytes) noexcept {
      if (bytes > left_) { return false; }
      if (bytes == 0) { return true; }  // moved from, it is of no budget
      left_ -= bytes;
      of_->note_reserved(0 - bytes);
      return true;
    }

   private:
    friend class budget;
    reservation(budget& of, std::uint64_t bytes) noexcept : of_{&of}, left_{bytes} {}

    budget* of_;
    std::uint64_t left_;
  };

  /// Promises `bytes`: a transaction that will need them fails now or not at all.
  /// @error errc::out_of_memory when there is no room after every step
  [[nodiscard]] result<reservation> reserve(std::uint64_t bytes) noexcept {
    auto const took = climb(bytes, [&]() noexcept -> result<void> {
      if (try_take(bytes)) { return {}; }
      return core::fail(errc::out_of_memory);
    });
    if (!took) { return cuda::std::unexpected(took.error()); }
    note_reserved(bytes);
    return reservation(*this, bytes);
  }

 private:
  using words = core::direct_access<cuda::thread_scope_system>;

  [[nodiscard]] static std::uint64_t look(std::uint64_t const& word) noexcept {
    return words::load(word, core::relaxed, "budget.look");
  }
  static void add(std::uint64_t& word, std::uint64_t n) noexcept {
    static_cast<void>(words::fetch_add(word, n, core::seq_cst, "budget.add"));
  }
  void note_reserved(std::uint64_t bytes) noexcept {
    for (budget* b = this; b != nullptr; b = b->whole_) { add(b->counts_.reserved_bytes, bytes); }
  }
  [[nodiscard]] bool fits(std::uint64_t bytes, std::uint64_t live) const noexcept {
    std::uint64_t const hard = look(limits_.hard_bytes);
    return bytes <= hard && live <= hard - bytes;
  }
  /// Whether room is what it wants for, which steps can make.
  template <class Got>
  [[nodiscard]] static bool lacks_room(Got const& got) noexcept {
    return !got && got.error().code == errc::out_of_memory;
  }
  /// Calls a step or a listener. Within it this thread asks no step, of whatever budget: two whose
  /// steps use each other would else wait for each other.
  template <class Call>
  static auto within_a_step(Call call) noexcept {
    struct note {
      bool before = std::exchange(within_a_step_, true);
      ~note() { within_a_step_ = before; }
    } const noted;
    return call();
  }
  /// This budget's own steps. @thread under the lock of climbs
  template <class Attempt, class Got>
  void ask(std::uint64_t wanted_bytes, Attempt& attempt, Got& got) noexcept {
    if (step_count_ == 0) { return; }
    add(counts_.climbs, 1);
    auto rungs = *recover::ladder::make(step_count_, limits_.tries == 0 ? 1 : limits_.tries);
    for (auto at = rungs.next(); lacks_room(got) && at; at = rungs.next()) {
      relief const& step = steps_[*at];
      std::uint64_t const given =
          within_a_step([&] { return step.give_back(wanted_bytes, step.context); });
      add(counts_.given_back_bytes, given);
      got = attempt();
      rungs.tell(given != 0);
    }
  }
  void raise_peak(std::uint64_t now) noexcept {
    core::raise<words>(counts_.peak_bytes, now, "budget.peak");
  }

  /// Where a mark lies, in bytes.
  [[nodiscard]] std::uint64_t bytes_of(std::uint32_t mark) const noexcept {
    std::uint64_t const hard = look(limits_.hard_bytes);
    return hard / 1000 * mark + hard % 1000 * mark / 1000;
  }
  [[nodiscard]] pressure level_for(std::uint64_t live, pressure now) const noexcept {
    std::uint32_t const marks[] = {0, limits_.low_mark, limits_.high_mark, limits_.critical_mark};
    auto level = pressure::none;
    for (std::uint32_t l = 1; l <= 3; ++l) {
      bool const held = static_cast<std::uint32_t>(now) >= l;
      std::uint32_t const mark =
          held && marks[l] >= limits_.gap ? marks[l] - limits_.gap : marks[l];
      if (live > bytes_of(mark)) { level = static_cast<pressure>(l); }
    }
    return level;
  }
  /// Moves the level to where use is, and tells the listener of each move once.
  /// Sequentially consistent: of two threads that move use and level, the later sees both.
  void watch() noexcept {
    std::uint32_t now = words::load(level_, core::seq_cst, "budget.level");
    for (;;) {
      std::uint64_t const live = words::load(counts_.live_bytes, core::seq_cst, "budget.look");
      pressure const next = level_for(live, static_cast<pressure>(now));
      auto const wanted = static_cast<std::uint32_t>(next);
      if (wanted == now) { return; }
      if (words::compare_exchange(level_, now, wanted, core::seq_cst, core::seq_cst,
                                  "budget.level")) {
        if (listener_ != nullptr) {
          within_a_step([&] { listener_(static_cast<pressure>(now), next, context_); });
        }
        now = wanted;
      }
    }
  }

  static inline thread_local constinit bool within_a_step_ = false;

  budget_limits limits_;
  budget_counts counts_;
  std::uint32_t level_ = 0;
  std::uint32_t step_count_ = 0;
  relief steps_[most_steps];
  pressure_listener listener_ = nullptr;
  void* context_ = nullptr;
  budget* whole_ = nullptr;  ///< that this is a part of
  budget* top_ = this;       ///< whose lock of climbs is that of all its parts
  std::mutex climbing_;
  std::atomic<std::thread::id> climber_{};  ///< who has it
};

/// Allocates from `Upstream` within a budget. Where the budget or the upstream has no room, the
/// budget's steps are asked before the error.
/// @thread any
template <resource Upstream = host_resource>
class budgeted_resource {
 public:
  static constexpr bool host_accessible = Upstream::host_accessible;
  static constexpr bool device_accessible = Upstream::device_accessible;

  explicit budgeted_resource(budget& within, Upstream upstream = {}) noexcept
      : within_{&within}, upstream_{std::move(upstream)} {}

  /// @error as the upstream's; errc::out_of_memory when the budget has no room after every step
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    auto const attempt = [&]() noexcept -> result<void*> {
      if (!within_->try_take(bytes)) { return core::fail(errc::out_of_memory); }
      auto given = upstream_.try_allocate(bytes, alignment);
      if (!given) { within_->give(bytes); }
      return given;
    };
    return within_->climb(bytes, attempt);
  }
  /// The same out of a reservation: no step is asked, and the budget cannot refuse.
  /// @error as the upstream's; errc::out_of_memory when the reservation has fewer bytes left,
  ///        errc::bad_argument 3 when it is another budget's
  [[nodiscard]] result<void*> try_allocate(budget::reservation& from, std::size_t bytes,
                                           std::size_t alignment) noexcept {
    if (!from.is_of(*within_)) { return core::fail(errc::bad_argument, 3); }
    if (bytes > from.left_bytes()) { return core::fail(errc::out_of_memory); }
    auto given = upstream_.try_allocate(bytes, alignment);
    if (given) { static_cast<void>(from.use(bytes)); }
    return given;
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    upstream_.deallocate(p, bytes, alignment);
    within_->give(bytes);
  }

  [[nodiscard]] friend bool operator==(budgeted_resource const& a,
                                       budgeted_resource const& b) noexcept {
    return a.within_ == b.within_ && a.upstream_ == b.upstream_;
  }

 private:
  budget* within_;
  Upstream upstream_;
};
static_assert(host_accessible_resource<budgeted_resource<>>);

}  // namespace millrace::inline v0::memory
