// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// An interleaving explorer for code that touches shared memory through an access policy.
///
/// `explore(options, body)` runs `body` again and again, each time with another interleaving of its
/// threads and another choice of which store each load reads (memory_model.hpp says which are
/// legal), until every distinguishable execution has been seen. The threads are fibers of one
/// operating system thread: an execution is deterministic, and a failing one can be replayed.
///
/// **What counts as distinguishable.** Two prefixes with the same events, the same reads-from and
/// the same modification orders leave the program in the same state, in whatever order the
/// events were run. Every state is hashed (64 bits) and entered once, so commuting steps are not
/// run in both orders. That is sound together with a preemption bound: a state counts as known only
/// if it was entered by the same running thread with no more preemptions spent.
///
/// **Bounds.** `preemptions` bounds the switches away from a thread that could go on; by default
/// nothing bounds them. `history` bounds how many stores back a load may read, and `stale`
/// how often one place may read the same store although there is a newer one: stores become visible
/// in the end. `report::complete`
/// says that everything within these bounds was seen. The environment variable
/// MILLRACE_RACE_EXECUTIONS ends every exploration after so many executions: a sample, for a
/// sanitizer that looks at code and not at interleavings. Past what can be enumerated, `random`
/// runs that many executions with random thread priorities and `depth` priority changes
/// (Burckhardt, Kothari, Musuvathi, Nagarakatte, "A randomized scheduler with probabilistic
/// guarantees of finding bugs", ASPLOS 2010), and random choices of stores.
///
/// **Polling.** A loop that polls calls `race::pause()` at the end of each round (a backoff policy
/// of a test does). A thread that has gone `rounds` times round without seeing anything new, and
/// without doing anything but read, waits until one of the words that it read in the last round has
/// a newer store. A round that is in vain although there was something new to see is cut off: it
/// equals an execution without that round. So a loop that polls is finite, stores reach
/// their readers in the end, and when all threads wait that is a deadlock. A loop without
/// `pause` is caught, later, by reading the same store at the same place more than `polls` times.
/// `rounds` must be at least the number of rounds after which the code does something else: 1 for
/// a loop that only ends with success, n + 1 for one that gives up or goes to sleep after n rounds;
/// `inner_rounds` at least the rounds of a bounded polling loop within a polling loop: then the
/// thread also leaves the inner one when there is something new for the outer;
/// and `polls` at least how often straight code may read one word at one place.
///
/// **Rules for the body.** It may be run millions of times and must do the same each time: no real
/// time, no real randomness, no real threads. Before the first thread runs, the body's accesses are
/// plain initialisation; in `after`, all is quiet again. Objects that the threads share come from
/// `run::make`. A thread's own objects must not need their destructors: an execution that is cut
/// off leaves its stacks as they are. Plain data shared by threads must be announced to the policy,
/// or the explorer does not see that its order matters.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace race {

inline constexpr std::uint32_t unbounded = ~std::uint32_t{0};

struct options {
  std::uint32_t preemptions = unbounded;     ///< per execution; or all interleavings
  std::uint64_t max_executions = 5'000'000;  ///< exploration stops, incomplete, after so many
  std::uint32_t history = 8;                 ///< a load reads one of the newest so many stores
  std::uint32_t rounds = 1;                  ///< of a polling loop, before it waits
  std::uint32_t inner_rounds = 0;            ///< of a polling loop inside another; 0: there is none
  std::uint32_t polls = 4;                   ///< equal reads at one place, before the thread waits
  std::uint32_t stale = 2;          ///< reads at one place of a store that is not the newest
  std::uint32_t max_steps = 1'000;  ///< a longer execution is a failure: it may never end
  bool reduce = true;        ///< enter a state once; false only to check that against the whole
  std::uint64_t random = 0;  ///< executions with random priorities, not exhaustive
  std::uint32_t depth = 3;   ///< priority changes of each of those
  std::uint64_t seed = 1;    ///< of those
  std::string replay = {};   ///< `failure::schedule`: run only that execution
};

enum class failure_kind {
  data_race,    ///< payload bytes touched by two threads with no order between them
  deadlock,     ///< every thread waits
  check,        ///< `check` was false, or the body threw
  endless,      ///< more than `max_steps` steps
  unannounced,  ///< an atomic word changed without the access policy
};

/// The words for a kind; never null.
[[nodiscard]] char const* describe(failure_kind kind) noexcept;

struct failure {
  failure_kind kind = failure_kind::check;
  std::string words;     ///< what went wrong, in one line
  std::string trace;     ///< every step of the execution
  std::string schedule;  ///< for `options::replay`
};

struct report {
  std::uint64_t executions = 0;  ///< ran to their end
  std::uint64_t cut = 0;         ///< ended in a state already known, or in a fruitless round
  std::uint64_t states = 0;      ///< distinct states entered
  std::uint64_t steps = 0;       ///< atomic operations performed, replays included
  std::size_t longest = 0;       ///< steps of the longest execution
  std::uint32_t preemptions = 0;
  bool random = false;
  bool complete = false;     ///< everything within the bounds was seen
  bool sampled = false;      ///< the environment ended it before its bounds did
  bool history_cut = false;  ///< a load could have read a store beyond `options::history`
  double seconds = 0;
  std::optional<failure> first;

  [[nodiscard]] bool clean() const noexcept { return !first.has_value(); }
  /// Clean, and nothing within the bounds was left out.
  [[nodiscard]] bool proven() const noexcept { return clean() && complete && !history_cut; }
  [[nodiscard]] bool found(failure_kind kind) const noexcept {
    return first.has_value() && first->kind == kind;
  }
  /// One line: how much was explored, and within which bounds.
  [[nodiscard]] std::string summary(std::string_view what) const;
  /// The failure with its trace; empty when there is none.
  [[nodiscard]] std::string text() const;
};

/// One execution of the body: where its threads and its shared objects come from.
class run {
 public:
  run() = default;
  run(run const&) = delete;
  run& operator=(run const&) = delete;
  ~run() {
    while (!objects_.empty()) { objects_.pop_back(); }
  }

  /// An object that lives until the execution is over, destroyed in reverse order.
  template <class T, class... Args>
  T& make(Args&&... args) {
    objects_.emplace_back(new T(std::forward<Args>(args)...),
                          [](void* p) { delete static_cast<T*>(p); });
    return *static_cast<T*>(objects_.back().get());
  }
  /// Adds a thread; its number is the order of the calls. At most `max_threads`.
  void thread(std::string name, std::function<void()> code) {
    threads_.push_back({std::move(name), std::move(code)});
  }
  void thread(std::function<void()> code) {
    thread("thread " + std::to_string(threads_.size()), std::move(code));
  }
  /// Runs when every thread has ended.
  void after(std::function<void()> code) { after_ = std::move(code); }
  /// A name for a word in traces, instead of the place that touched it first.
  void name(void const* word, std::string text) { names_.emplace_back(word, std::move(text)); }

 private:
  friend class scheduler;
  struct thread_code {
    std::string name;
    std::function<void()> code;
  };
  std::vector<std::unique_ptr<void, void (*)(void*)>> objects_;
  std::vector<thread_code> threads_;
  std::vector<std::pair<void const*, std::string>> names_;
  std::function<void()> after_;
};

/// Explores `body` until its executions, or the bounds, are exhausted, or one of them fails.
[[nodiscard]] report explore(options const& how, std::function<void(run&)> const& body);

/// The running thread has come to the end of a round of a polling loop that found nothing.
void pause();
/// The running thread begins a polling loop, or begins a round because the last found something.
/// Optional: it lets the explorer see that a first round that found nothing changed nothing.
void begin_round();

/// The number of the running thread; only in threads.
[[nodiscard]] std::size_t this_thread();

/// Ends the execution as failed unless `condition`; in threads and in `after`.
void check(bool condition, std::string_view words);

}  // namespace race
