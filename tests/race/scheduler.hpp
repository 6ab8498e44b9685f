// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "execution.hpp"
#include "explorer.hpp"
#include "fiber.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace race {

/// The states entered so far, each with the fewest preemptions that were spent on the way.
class state_table {
 public:
  /// Whether this state is new, or was entered with more preemptions only; enters it if so.
  bool enter(std::uint64_t key, std::uint32_t preemptions);
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

 private:
  void grow();
  std::vector<std::uint64_t> keys_ = std::vector<std::uint64_t>(1024);  // 0: free
  std::vector<std::uint8_t> spent_ = std::vector<std::uint8_t>(1024);
  std::uint64_t size_ = 0;
};

/// Runs the threads of one exploration, one execution after the other.
class scheduler {
 public:
  scheduler(options const& how, std::function<void(run&)> const& body);
  ~scheduler();
  scheduler(scheduler const&) = delete;
  scheduler& operator=(scheduler const&) = delete;

  [[nodiscard]] report explore();

  /// Whether the caller is a thread of an exploration.
  [[nodiscard]] static bool exploring() noexcept { return fiber::inside(); }
  [[nodiscard]] static scheduler& current() noexcept { return *current_; }
  /// Performs an operation of the running thread, when its turn has come.
  outcome perform(operation const& op);
  [[nodiscard]] std::size_t running() const noexcept { return running_; }
  /// The running thread ends a round of polling.
  void pause() { execution_.pause(running_); }
  /// The running thread begins a round of polling.
  void begin_round() { execution_.begin_round(running_); }
  /// Notes that the running thread touches payload bytes.
  void payload(void const* p, std::size_t bytes, bool write, char const* site);
  /// Ends the execution as failed. Does not return when called from a thread.
  void fail(failure_kind kind, std::string words);

 private:
  struct decision {
    std::uint32_t thread = 0;
    std::uint32_t choice = 0;
    std::uint32_t preemptions = 0;  // spent, this decision included
    std::uint64_t key = 0;
  };
  struct branch {
    std::size_t begin;  // of its decisions in pool_
    std::size_t chosen;
  };
  struct worker {
    fiber stack;
    scheduler* owner = nullptr;
    std::size_t number = 0;
  };
  struct stopped {};  // thrown out of a failing check in `after`

  static void enter_thread(void* argument);
  void run_once();
  void pass_on();
  [[nodiscard]] bool decide();
  [[nodiscard]] bool decide_new();
  [[nodiscard]] bool decide_randomly();
  [[nodiscard]] bool backtrack();
  [[nodiscard]] bool admit(decision const& d);
  void deadlocked();
  void begin_random();
  void warm_up();
  void learn();
  [[nodiscard]] bool shared(char const* site) const;
  [[nodiscard]] bool unwatched(std::size_t t, operation const& op);
  void check_sharing();
  [[nodiscard]] report empty_report() const;
  [[nodiscard]] std::uint64_t random();

  static inline scheduler* current_ = nullptr;

  options how_;
  std::function<void(run&)> const& body_;
  report report_;
  execution execution_;
  std::vector<std::unique_ptr<worker>> workers_;
  run* run_ = nullptr;
  bool starting_ = false;
  bool ended_ = false;  // by failure or cut
  std::size_t running_ = 0;
  decision next_;

  // Places whose words one thread alone touches, as far as is known, are no scheduling points. When
  // that proves wrong the exploration begins again.
  std::vector<char const*> shared_;
  bool quiet_ = false;  // such places are taken to be known
  bool restart_ = false;

  state_table states_;
  std::vector<decision> pool_;
  std::vector<branch> trail_;
  std::size_t depth_ = 0;
  std::vector<std::uint32_t> scratch_;
  std::vector<decision> forced_;

  std::uint64_t random_state_;
  std::vector<std::uint64_t> priorities_;
  std::vector<std::uint32_t> changes_;
  std::uint64_t lowest_ = 0;
};

}  // namespace race
