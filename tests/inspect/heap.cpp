// SPDX-License-Identifier: Apache-2.0
// inspect_heap <docs/design/memory.md>: counts the instructions of an allocation with its free, and
// how many of them lock, while the thread's cache has blocks; compares them with what the page
// states.
#include "stepper.hpp"
#include "table.hpp"
#include <millrace/memory/heap.hpp>
#include <millrace/memory/pmr.hpp>
#include <millrace/memory/pool.hpp>

#include <cstdint>
#include <cstdio>
#include <memory_resource>
#include <string>
#include <utility>

namespace {

namespace core = millrace::core;
namespace memory = millrace::memory;

struct object {
  std::byte bytes[64];
};

constexpr int pairs = 40;

/// Counts `count` turns of `pair(way)`, after one that is not counted.
template <class Way, class Pair>
[[nodiscard]] inspect::stepped count(Way way, Pair pair, int count) {
  return inspect::count_instructions([&way, pair, count] {
    bool fine = pair(way);
    inspect::counting_stop();
    for (int i = 0; i < count; ++i) { fine = pair(way) && fine; }
    inspect::counting_stop();
    return fine;
  });
}

class comparison {
 public:
  explicit comparison(inspect::stated_numbers const& page) : page_(page) {}

  /// The difference of two runs is what the further pairs cost.
  template <class Make, class Pair>
  void row(char const* key, Make make, Pair pair) {
    inspect::stepped const some = count(make(), pair, pairs);
    inspect::stepped const more = count(make(), pair, 2 * pairs);
    if (problem_.empty()) { problem_ = some.problem.empty() ? more.problem : some.problem; }
    if (!problem_.empty()) { return; }
    auto const of_one = [](std::uint64_t a, std::uint64_t b) noexcept {
      return static_cast<double>(b - a) / pairs;
    };
    fine_ = page_.hold(key, {of_one(some.instructions, more.instructions),
                             of_one(some.locked, more.locked)}) &&
            fine_;
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

[[nodiscard]] memory::heap<> new_heap() {
  return core::value_or_throw(memory::heap<>::make({.reserve_bytes = std::size_t{16} << 20}));
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) { return 2; }
  inspect::stated_numbers const page(words[1]);
  std::string const other = inspect::other_compiler(page);
  if (!other.empty()) { return inspect::skip(other); }
  std::printf("%s, instructions of a pair, and those that lock\n", inspect::compiler().c_str());
  comparison all(page);
  all.row(
      "pool", [] { return core::value_or_throw(memory::pool<object>::make(new_heap())); },
      [](memory::pool<object>& from) {
        void* const p = from.allocate();
        from.deallocate(p);
        return p != nullptr;
      });
  all.row("heap", new_heap, [](memory::heap<> const& from) {
    void* const p = from.allocate_or_null(64);
    from.deallocate(p, 64);
    return p != nullptr;
  });
  all.row(
      "pmr", [] { return memory::pmr_resource<memory::heap<>>(new_heap()); },
      [](std::pmr::memory_resource& from) {
        void* const p = from.allocate(64);
        from.deallocate(p, 64);
        return p != nullptr;
      });
  return all.status();
}
