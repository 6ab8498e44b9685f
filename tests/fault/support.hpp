// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/queue.hpp>
#include <millrace/queue/shared.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_map>
#include <utility>

namespace fault {

namespace core = millrace::core;
namespace memory = millrace::memory;
namespace queue = millrace::queue;
using std::uint64_t;

/// A deadline that only a test that hangs reaches.
inline millrace::recover::deadline soon() noexcept {
  return queue::within(std::chrono::seconds(60));
}

using millrace_test::long_tier;

/// The machine's atomics, which kill their process at the access that a test chose: whatever is
/// between two accesses no other process can tell from what is before the second.
struct lethal : core::direct_access<cuda::thread_scope_system> {
  using base = core::direct_access<cuda::thread_scope_system>;

  /// Accesses that this process has left to live; none are counted while it is 0.
  static inline std::atomic<uint64_t> left{0};
  /// A thread whose accesses do not count: one that only waits.
  static inline thread_local bool spared = false;

  static void count() noexcept {
    if (spared) { return; }
    if (left.load(std::memory_order_relaxed) != 0 && left.fetch_sub(1) == 1) { ::raise(SIGKILL); }
  }
  template <class T>
  [[nodiscard]] static T load(T const& word, core::memory_order order, char const* site) noexcept {
    if (left.load(std::memory_order_relaxed) == 0) { return base::load(word, order, site); }
    auto const seen = base::load(word, order, site);
    if (is_news(&word, static_cast<uint64_t>(seen))) { count(); }
    return seen;
  }
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, core::memory_order order,
                    char const* site) noexcept {
    count();
    base::store(word, value, order, site);
  }
  template <class T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, std::type_identity_t<T> desired,
                                             core::memory_order success, core::memory_order failure,
                                             char const* site) noexcept {
    count();
    return base::compare_exchange(word, expected, desired, success, failure, site);
  }
  template <class T>
  static T fetch_add(T& word, std::type_identity_t<T> n, core::memory_order order,
                     char const* site) noexcept {
    count();
    return base::fetch_add(word, n, order, site);
  }
  template <class T>
  static T fetch_or(T& word, std::type_identity_t<T> bits, core::memory_order order,
                    char const* site) noexcept {
    count();
    return base::fetch_or(word, bits, order, site);
  }
  template <class T>
  static T fetch_and(T& word, std::type_identity_t<T> bits, core::memory_order order,
                     char const* site) noexcept {
    count();
    return base::fetch_and(word, bits, order, site);
  }
  static void read(void const*, std::size_t, char const*) noexcept { count(); }
  static void write(void*, std::size_t, char const*) noexcept { count(); }

 private:
  /// Whether this thread's last look at the word found something else. How often who waits looks
  /// again is the scheduler's to say: if that counted, no number of accesses were enough for a
  /// process whose partner has no processor.
  [[nodiscard]] static bool is_news(void const* word, uint64_t value) noexcept {
    static thread_local std::unordered_map<void const*, uint64_t> last;
    auto const [at, first] = last.try_emplace(word, value);
    return first || std::exchange(at->second, value) != value;
  }
};
static_assert(core::access_policy<lethal>);

/// What a functor keeps: every message leaves a trace that shows whether it came once, and in
/// order.
struct ledger {
  uint64_t count = 0;
  uint64_t sum = 0;
  uint64_t chain = 0;      ///< of all values, in the order in which they were done
  uint64_t more[13] = {};  ///< so that a copy takes several lines
};

struct entry {
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply, ledger& book) const noexcept {
    ++book.count;
    book.sum += message.value();
    book.chain = book.chain * 0x9E3779B97F4A7C15u + message.value() + 1;
    for (uint64_t& line : book.more) { line = book.count; }
    reply.write(book.chain);
    return queue::status::ok;
  }
};

template <class Access, std::uint32_t Every>
struct kept : queue::default_consumer<uint64_t, entry> {
  using access = Access;
  using state = ledger;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t snapshot_every = Every;
};

/// A name that no other test process has.
[[nodiscard]] inline std::string ring_name(char const* what) {
  return "/millrace-" + std::string(what) + "-" + std::to_string(::getpid());
}

/// Takes a ring's name away at the end of its test.
class named_ring {
 public:
  explicit named_ring(char const* what) : name_(ring_name(what)) { forget(); }
  named_ring(named_ring const&) = delete;
  named_ring& operator=(named_ring const&) = delete;
  ~named_ring() { forget(); }
  [[nodiscard]] std::string const& name() const noexcept { return name_; }

 private:
  void forget() const {
    if (auto old = memory::shared_memory::open(name_)) { static_cast<void>(old->remove()); }
  }
  std::string name_;
};

/// Runs `body` in a process of its own, which ends with it.
template <class Body>
[[nodiscard]] pid_t in_a_process(Body body) {
  std::fflush(nullptr);
  pid_t const child = ::fork();
  if (child == 0) { ::_exit(body()); }
  return child;
}
/// Serves ring `name` until its lanes are closed and done, or until death; `accesses` of it from
/// the first thread's start are survived, 0: all.
template <class P>
[[nodiscard]] pid_t server_of(std::string const& name, uint64_t accesses = 0) {
  return in_a_process([&] {
    lethal::left = accesses;
    lethal::spared = true;
    auto served = queue::serve<P>(name);
    if (!served) {
      std::fprintf(stderr, "serve: %s\n", core::describe(served.error()).c_str());
      return 3;
    }
    return served->wait_until_left(soon()) ? 0 : 4;
  });
}
/// How a process ended: its exit status, or minus the signal's number.
[[nodiscard]] inline int end_of(pid_t child) {
  int status = 0;
  if (::waitpid(child, &status, 0) != child) { return 255; }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/// One line of the table of faults.
inline void report(char const* fault, uint64_t faults, uint64_t sent, uint64_t processed,
                   uint64_t replayed, uint64_t lost, uint64_t doubled) {
  static bool const header = [] {
    std::printf("%-46s %8s %10s %10s %9s %5s %8s\n", "fault", "times", "sent", "processed",
                "replayed", "lost", "doubled");
    return true;
  }();
  static_cast<void>(header);
  std::printf("%-46s %8llu %10llu %10llu %9llu %5llu %8llu\n", fault,
              static_cast<unsigned long long>(faults), static_cast<unsigned long long>(sent),
              static_cast<unsigned long long>(processed), static_cast<unsigned long long>(replayed),
              static_cast<unsigned long long>(lost), static_cast<unsigned long long>(doubled));
  std::fflush(stdout);
}

}  // namespace fault
