// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/memory/memory_fault.hpp>
#include <millrace/memory/resource.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <source_location>
#include <utility>

namespace millrace::inline v0::memory {

/// One fault, and what is known of the block. A site is where a call stands in the source; of one
/// that is not known the file's name is empty.
struct memory_report {
  memory_fault fault = memory_fault::leak;
  void const* address = nullptr;  ///< what was freed, or the first byte that is wrong
  void const* block = nullptr;    ///< its begin; null when there is none
  std::size_t bytes = 0;          ///< that were asked for
  std::source_location allocated = {};
  std::source_location freed = {};  ///< the first time
  std::source_location now = {};    ///< the call that found out
};

/// Who hears of faults. It may not use the resource that reports.
using memory_listener = void (*)(memory_report const& report, void* context) noexcept;

/// Writes a report as a line on the error stream.
inline void print_memory_report(memory_report const& report, void*) noexcept {
  auto const site = [](char const* words, std::source_location const& at) noexcept {
    if (at.line() != 0) { std::fprintf(stderr, "%s%s:%u", words, at.file_name(), at.line()); }
  };
  std::fprintf(stderr, "millrace memory: %s: %p", describe(report.fault), report.address);
  if (report.block != nullptr) {
    std::fprintf(stderr, " (block %p of %zu bytes)", report.block, report.bytes);
  }
  site(", allocated at ", report.allocated);
  site(", freed at ", report.freed);
  site(", found at ", report.now);
  std::fputc('\n', stderr);
}

/// How closely to look.
struct check_options {
  memory_listener listener = print_memory_report;
  void* context = nullptr;
  /// Freed bytes that are kept from being given again, so that writes into them are seen.
  std::size_t quarantine_bytes = std::size_t{1} << 20;
};

/// Passes everything on to `Upstream` and watches what the program does with the blocks: each ends
/// with a pattern, a freed one is filled with another and kept a while, and all are known by their
/// address in a table apart. Every fault is reported once (a leak whenever leaks are asked for),
/// with where the block was allocated and freed. What is no block in use is not freed; a block
/// freed with a wrong size is. Its lock is held while the upstream allocates: a budget, whose steps
/// may free through it, belongs around it and not within. Copies watch together; the end of the
/// last reports leaks.
/// @thread any; one lock for all, so this is for finding faults, not for speed
template <host_accessible_resource Upstream = host_resource>
class checked_resource {
 public:
  using site = std::source_location;

  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = Upstream::device_accessible;

  /// @error errc::out_of_memory
  [[nodiscard]] static result<checked_resource> make(Upstream upstream = {},
                                                     check_options with = {}) noexcept {
    try {
      return checked_resource(std::make_shared<watch>(std::move(upstream), with));
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
  }

  /// @error as the upstream's; errc::out_of_memory also when the table has no room
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment,
                                           site at = site::current()) const noexcept {
    return watch_->allocate(bytes, alignment, at);
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment,
                  site at = site::current()) const noexcept {
    static_cast<void>(watch_->free(p, &bytes, &alignment, at));
  }
  /// Frees a block whose size is not at hand; null is nothing to free.
  /// @error errc::bad_argument 1 when it was reported as a fault and nothing was freed
  [[nodiscard]] result<void> free(void* p, site at = site::current()) const noexcept {
    if (p == nullptr || watch_->free(p, nullptr, nullptr, at)) { return {}; }
    return core::fail(errc::bad_argument, 1);
  }

  /// Looks at every block, used and freed, and reports what is wrong.
  /// @return faults found now   @cost O(bytes)
  std::size_t verify(site at = site::current()) const noexcept { return watch_->verify(at); }
  /// Reports every block that is in use as a leak.
  /// @return their number
  std::size_t report_leaks(site at = site::current()) const noexcept {
    return watch_->report_leaks(at);
  }
  /// Blocks in use.
  [[nodiscard]] std::size_t live() const noexcept { return watch_->live(); }

  [[nodiscard]] friend bool operator==(checked_resource const& a,
                                       checked_resource const& b) noexcept {
    return a.watch_ == b.watch_;
  }

 private:
  /// Behind each block.
  static constexpr std::size_t guard_bytes = 16;
  static constexpr std::byte guard{0xfb};
  static constexpr std::byte freed{0xdd};

  class watch {
   public:
    watch(Upstream upstream, check_options with) : upstream_(std::move(upstream)), with_(with) {}
    watch(watch const&) = delete;
    watch& operator=(watch const&) = delete;
    ~watch() {
      static_cast<void>(verify({}));
      static_cast<void>(report_leaks({}));
      while (!waiting_.empty()) { release_oldest({}); }
    }

    [[nodiscard]] result<void*> allocate(std::size_t bytes, std::size_t alignment,
                                         site at) noexcept {
      if (bytes == 0) { return core::fail(errc::bad_argument, 1); }
      if (bytes > max_request_bytes - guard_bytes) { return core::fail(errc::out_of_memory); }
      std::scoped_lock const lock(door_);
      auto given = upstream_.try_allocate(bytes + guard_bytes, alignment);
      while (!given && given.error().code == errc::out_of_memory && !waiting_.empty()) {
        release_oldest(at);  // what is only kept for looking at is the first to go
        given = upstream_.try_allocate(bytes + guard_bytes, alignment);
      }
      if (!given) { return given; }
      try {
        blocks_.insert_or_assign(static_cast<std::byte*>(*given),
                                 entry{bytes, alignment, at, {}, false});
      } catch (std::bad_alloc const&) {
        upstream_.deallocate(*given, bytes + guard_bytes, alignment);
        return core::fail(errc::out_of_memory);
      }
      std::memset(static_cast<std::byte*>(*given) + bytes, std::to_integer<int>(guard),
                  guard_bytes);
      ++live_;
      return given;
    }

    [[nodiscard]] bool free(void* p, std::size_t const* bytes, std::size_t const* alignment,
                            site at) noexcept {
      std::scoped_lock const lock(door_);
      auto* const begin = static_cast<std::byte*>(p);
      auto const found = blocks_.find(begin);
      if (found == blocks_.end()) {
        auto const within = around(begin);
        report(within == blocks_.end() ? memory_fault::foreign_pointer
                                       : memory_fault::interior_pointer,
               p, within, at);
        return false;
      }
      entry& block = found->second;
      if (block.gone) {
        report(memory_fault::double_free, p, found, at);
        return false;
      }
      bool const as_asked = (bytes == nullptr || *bytes == block.bytes) &&
                            (alignment == nullptr || *alignment == block.alignment);
      if (!as_asked) { report(memory_fault::wrong_size, p, found, at); }
      static_cast<void>(check(found, at));
      try {
        waiting_.push_back(begin);
      } catch (std::bad_alloc const&) {  // no room to keep it: it goes at once
        std::size_t const size = block.bytes + guard_bytes, aligned = block.alignment;
        blocks_.erase(found);
        --live_;
        upstream_.deallocate(p, size, aligned);
        return true;
      }
      block.gone = true;
      block.freed = at;
      --live_;
      std::memset(begin, std::to_integer<int>(freed), block.bytes);
      kept_bytes_ += block.bytes;
      while (kept_bytes_ > with_.quarantine_bytes) { release_oldest(at); }
      return true;
    }

    std::size_t verify(site at) noexcept {
      std::scoped_lock const lock(door_);
      std::size_t faults = 0;
      for (auto one = blocks_.begin(); one != blocks_.end(); ++one) { faults += check(one, at); }
      return faults;
    }
    std::size_t report_leaks(site at) noexcept {
      std::scoped_lock const lock(door_);
      for (auto one = blocks_.begin(); one != blocks_.end(); ++one) {
        if (!one->second.gone) { report(memory_fault::leak, one->first, one, at); }
      }
      return live_;
    }
    [[nodiscard]] std::size_t live() noexcept {
      std::scoped_lock const lock(door_);
      return live_;
    }

   private:
    struct entry {
      std::size_t bytes = 0;
      std::size_t alignment = 0;
      site allocated = {};
      site freed = {};
      bool gone = false;  ///< freed and kept
    };
    using table = std::map<std::byte*, entry>;
    using place = typename table::iterator;

    /// The block within which `p` lies, its guard included.
    [[nodiscard]] place around(std::byte* p) noexcept {
      auto next = blocks_.upper_bound(p);
      if (next == blocks_.begin()) { return blocks_.end(); }
      auto const before = std::prev(next);
      bool const within = p < before->first + before->second.bytes + guard_bytes;
      return within ? before : blocks_.end();
    }

    /// Looks at a block's guard, and at the bytes of a freed one; what is wrong is made right, so
    /// that it is reported once.
    std::size_t check(place one, site at) noexcept {
      std::byte* const begin = one->first;
      std::byte* const end = begin + one->second.bytes;
      return (one->second.gone
                  ? check_range(one, begin, end, freed, memory_fault::use_after_free, at)
                  : 0u) +
             check_range(one, end, end + guard_bytes, guard, memory_fault::overflow, at);
    }
    std::size_t check_range(place one, std::byte* from, std::byte* to, std::byte expected,
                            memory_fault fault, site at) noexcept {
      std::byte* const wrong =
          std::find_if(from, to, [expected](std::byte b) { return b != expected; });
      if (wrong == to) { return 0; }
      report(fault, wrong, one, at);
      std::fill(wrong, to, expected);
      return 1;
    }

    void release_oldest(site at) noexcept {
      auto const one = blocks_.find(waiting_.front());
      waiting_.pop_front();
      static_cast<void>(check(one, at));
      entry const block = one->second;
      std::byte* const begin = one->first;
      kept_bytes_ -= block.bytes;
      blocks_.erase(one);
      upstream_.deallocate(begin, block.bytes + guard_bytes, block.alignment);
    }

    void report(memory_fault fault, void const* address, place block, site at) noexcept {
      memory_report out{.fault = fault, .address = address, .now = at};
      if (block != blocks_.end()) {
        out.block = block->first;
        out.bytes = block->second.bytes;
        out.allocated = block->second.allocated;
        out.freed = block->second.freed;
      }
      with_.listener(out, with_.context);
    }

    std::mutex door_;
    Upstream upstream_;
    check_options with_;
    table blocks_;                    ///< in use, and freed and kept
    std::deque<std::byte*> waiting_;  ///< freed and kept, oldest first
    std::size_t kept_bytes_ = 0;
    std::size_t live_ = 0;
  };

  explicit checked_resource(std::shared_ptr<watch> all) noexcept : watch_(std::move(all)) {}

  std::shared_ptr<watch> watch_;
};
static_assert(host_accessible_resource<checked_resource<>>);

}  // namespace millrace::inline v0::memory
