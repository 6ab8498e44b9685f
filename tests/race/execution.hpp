// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "explorer.hpp"
#include "memory_model.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace race {

enum class operation_kind : std::uint8_t {
  load,
  store,
  compare_exchange,
  fetch_add,
  fetch_or,
  fetch_and,
  wait,   ///< sleep while the word holds `operand`
  woken,  ///< the rest of a wait that slept
  wake,
  read_bytes,   ///< payload; only in traces
  write_bytes,  ///< payload; only in traces
};

/// Whether an operation writes whatever it reads.
[[nodiscard]] constexpr bool always_updates(operation_kind kind) noexcept {
  return kind == operation_kind::fetch_add || kind == operation_kind::fetch_or ||
         kind == operation_kind::fetch_and;
}
/// What one that does makes of `old`.
[[nodiscard]] constexpr std::uint64_t updated(operation_kind kind, std::uint64_t old,
                                              std::uint64_t operand) noexcept {
  switch (kind) {
    case operation_kind::fetch_add: return old + operand;
    case operation_kind::fetch_or: return old | operand;
    case operation_kind::fetch_and: return old & operand;
    default: return operand;
  }
}

struct ordering {
  bool acquire = false;
  bool release = false;
  bool total = false;  ///< seq_cst
};

/// What a thread is about to do.
struct operation {
  operation_kind kind = operation_kind::load;
  ordering success;
  ordering failure;
  std::size_t bytes = 0;
  void* address = nullptr;
  std::uint64_t operand = 0;
  std::uint64_t expected = 0;
  char const* site = "";
};

/// What an operation gave: the value read and whether it stored.
struct outcome {
  std::uint64_t value = 0;
  bool stored = false;
};

/// A line of the trace.
struct trace_line {
  std::uint32_t thread = 0;
  std::uint32_t choice = 0;
  operation_kind kind = operation_kind::load;
  ordering order;
  std::uint32_t word = 0;
  char const* site = "";
  std::size_t bytes = 0;
  std::uint64_t seen = 0;
  std::uint64_t written = 0;
  bool stored = false;
  bool stale = false;       // a newer store was there
  std::uint32_t from = 0;   // line that wrote what was seen; 0: initial value
  std::uint32_t ahead = 0;  // stores already there that stand behind this one in modification order
};

/// The state of one execution under the memory model. It knows nothing of fibers or of search: the
/// scheduler announces what each thread wants to do, asks for the choices, and performs one.
class execution {
 public:
  void start(std::size_t threads, options const& how);

  /// Thread `t` wants to do `op` next.
  void announce(std::size_t t, operation const& op);
  /// Thread `t` has come to the end of a round of a polling loop that found nothing.
  void pause(std::size_t t);
  /// Thread `t` begins a polling loop, or goes round again because it found something.
  void begin_round(std::size_t t);
  /// Thread `t` has ended.
  void finish(std::size_t t) { threads_[t].at = stage::done; }

  /// Appends every choice that thread `t` has for its next operation, the newest store first; none
  /// when it waits or has ended.
  void choices(std::size_t t, std::vector<std::uint32_t>& out);
  /// Whether thread `t` begins another round of a loop although its last one, with something new to
  /// read, read nothing new.
  [[nodiscard]] bool fruitless(std::size_t t) const { return threads_[t].fruitless; }
  /// Whether thread `t` goes round an inner loop of which it is about to leave.
  [[nodiscard]] bool leaving(std::size_t t) const { return threads_[t].leaving; }
  /// A hash of the state that performing `choice` leads to.
  [[nodiscard]] std::uint64_t hash_after(std::size_t t, std::uint32_t choice) const;
  /// Whether other threads than `t` have touched the word that it is about to access.
  [[nodiscard]] bool touched_by_others(std::size_t t) const;
  /// Whether the last step made a word shared, or touched a shared word at another place.
  [[nodiscard]] bool sharing_changed() const { return sharing_changed_; }
  /// Every place that has accessed a word which several threads have touched.
  [[nodiscard]] std::vector<char const*> shared_sites() const;
  /// Performs thread `t`'s next operation.
  outcome perform(std::size_t t, std::uint32_t choice);
  /// Notes an access to payload bytes; the words of the data race, when there is one.
  [[nodiscard]] std::optional<std::string> payload(std::size_t t, void const* p, std::size_t bytes,
                                                   bool write, char const* site);
  /// The words of the data race between an atomic access and payload bytes, when there is one.
  [[nodiscard]] std::optional<std::string> mixed(std::size_t t) const;
  /// Whether the word that thread `t` is about to access changed without the policy.
  [[nodiscard]] bool unannounced(std::size_t t) const;

  [[nodiscard]] bool done(std::size_t t) const { return threads_[t].at == stage::done; }
  [[nodiscard]] bool asleep(std::size_t t) const { return threads_[t].at == stage::asleep; }
  [[nodiscard]] std::size_t threads() const { return threads_.size(); }
  [[nodiscard]] std::uint32_t steps() const { return steps_; }
  [[nodiscard]] bool history_cut() const { return history_cut_; }

  void name_thread(std::size_t t, std::string name) { threads_[t].name = std::move(name); }
  void name_word(void const* address, std::string name) {
    names_.emplace_back(address, std::move(name));
  }
  [[nodiscard]] std::string const& thread_name(std::size_t t) const { return threads_[t].name; }
  /// The trace as text: one line a step.
  [[nodiscard]] std::string trace() const;
  /// What thread `t` waits for, in words.
  [[nodiscard]] std::string waits_for(std::size_t t) const;
  /// Thread and choice of each step, for a replay.
  [[nodiscard]] std::string schedule() const;

 private:
  enum class stage : std::uint8_t { ready, asleep, done };

  // What a thread last saw at one place.
  struct poll {
    char const* site;
    std::uint32_t word;
    std::uint64_t store;
    std::uint64_t expected;  // by a compare-exchange
    std::uint32_t count;     // reads in this round, since the thread last got on
    std::uint32_t awaited;   // reads in the round whose repetition waits for something new; or 0
    std::uint32_t stale;     // reads of this store although there was a newer one
  };

  struct thread_state {
    stage at = stage::ready;
    bool fruitless = false;     // goes round again although it need not
    bool acted = true;          // in this round: did more than read
    bool saw_new = true;        // in this round: read something for the first time
    bool learned = true;        // in this round: read something that limits what it may see
    bool changed = false;       // in this round: two reads at one place saw different stores
    bool waiting = false;       // for something new
    bool leaving = false;       // an inner loop, of whose rounds this is one more
    bool cannot_leave = false;  // it went round `inner_rounds` times and was still there
    std::uint32_t inner_rounds = 0;
    std::uint32_t idle_rounds = 0;  // in a row
    std::uint64_t round_chain = 0;  // chain and number when the round began
    std::uint32_t round_number = 0;
    clock known;
    std::uint64_t chain = 0;   // hash of all its events
    std::uint32_t number = 0;  // of its last event; rounds in vain are not counted
    operation next;
    std::uint32_t word = 0;
    std::vector<poll> polls;
    std::string name;
  };

  [[nodiscard]] std::uint32_t find_word(operation const& op);
  [[nodiscard]] poll const* polled(thread_state const& me) const;
  [[nodiscard]] bool newer(poll const& p) const {
    return words_[p.word].history.back().id() != p.store;
  }
  [[nodiscard]] bool newer_in_round(thread_state const& me, poll const& here,
                                    bool other_places_only) const;
  [[nodiscard]] bool anything_newer(thread_state const& me) const;
  [[nodiscard]] bool may_leave(thread_state const& me) const;
  [[nodiscard]] bool new_later(thread_state const& me, poll const& here) const;
  static void get_on(thread_state& me);
  static void get_on_by_writing(thread_state& me);
  [[nodiscard]] bool total_allows(std::size_t t, std::uint32_t w, std::size_t index,
                                  bool write) const;
  [[nodiscard]] bool succeeds(operation const& op, store_record const& seen) const {
    return always_updates(op.kind) ||
           (op.kind == operation_kind::compare_exchange && seen.value == op.expected);
  }
  void read(std::size_t t, std::size_t index, ordering order, trace_line& line);
  void insert(std::size_t t, std::size_t at, std::uint64_t value, bool update, ordering order,
              trace_line& line);
  [[nodiscard]] std::string word_name(std::uint32_t w) const;
  [[nodiscard]] std::string racing(std::size_t t, bool write, bool atomic, char const* site,
                                   payload_map::conflict const& c) const;

  std::vector<thread_state> threads_;
  std::vector<word> words_;  // entries past word_count_ keep their memory for later executions
  std::size_t word_count_ = 0;
  std::vector<std::uint64_t> sleep_hash_;  // per word: order of the waits and wakes
  total_order total_;
  payload_map payload_;
  std::vector<trace_line> trace_;
  std::vector<std::pair<void const*, std::string>> names_;
  options how_;
  std::uint32_t steps_ = 0;
  bool history_cut_ = false;
  bool sharing_changed_ = false;
};

}  // namespace race
