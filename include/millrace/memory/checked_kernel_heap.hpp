// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/kernel_heap_ref.hpp>
#include <millrace/memory/memory_fault.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::memory {

/// A fault that a kernel found. Sites are the callers' numbers, by default the line of the call.
struct kernel_fault {
  memory_fault fault = memory_fault::leak;
  std::uint32_t bytes = 0;      ///< of the block, as they were asked for; 0 where it is none
  std::uint64_t address = 0;    ///< what was freed, or the first byte that is wrong
  std::uint64_t block = 0;      ///< its begin; 0 when there is none
  std::uint32_t allocated = 0;  ///< site of its allocation; 0: not known
  std::uint32_t freed = 0;      ///< site of its first free; 0: not freed
  std::uint32_t now = 0;        ///< site of the call that found out
  std::uint32_t complete = 0;   ///< not 0 once the rest is written
};

/// What a checked kernel heap keeps beside the heap: faults, and freed blocks that are not given
/// again yet. Zero at first. In memory that the host sees, it may be read while kernels run.
struct kernel_fault_log {
  static constexpr std::uint32_t room = 64;
  static constexpr std::uint32_t kept = 256;

  std::uint32_t found = 0;  ///< faults, also those for which there is no room
  std::uint32_t turn = 0;
  kernel_fault faults[room];
  std::uint64_t quarantine[kept] = {};
};

/// A kernel heap that watches what kernels do with their blocks: behind each there is a pattern and
/// a note of its size and sites, freed ones are filled with another and kept back for a while.
/// Every fault goes into a record, nothing traps, and what is no block in use is not freed. All
/// blocks of the heap come and go through it.
/// @thread any   @cost 32 bytes a block, and a write and a look at all of its bytes
template <kernel_heap_policy P>
class checked_kernel_heap_ref {
 public:
  using access = typename P::access;
  static constexpr std::size_t note_bytes = 32;

  checked_kernel_heap_ref() noexcept = default;
  MILLRACE_HD checked_kernel_heap_ref(kernel_heap_ref<P> heap, kernel_fault_log* log) noexcept
      : heap_{heap}, log_{log} {}

  /// As kernel_heap_ref::malloc, for fewer than 2^32 bytes.
  [[nodiscard]] MILLRACE_HD void* malloc(std::size_t bytes, std::size_t alignment = 16,
                                         std::uint32_t site = __builtin_LINE()) const noexcept {
    if (bytes == 0 || bytes > ~std::uint32_t{0} - note_bytes) { return nullptr; }
    std::size_t const asked = (bytes + 15) / 16 * 16 + note_bytes;
    void* p = heap_.malloc(asked, alignment);
    if (p == nullptr) {  // what is kept back is the rest of the heap, perhaps
      for (std::uint32_t i = 0; i < kernel_fault_log::kept; ++i) { let_go(i, 0, site); }
      p = heap_.malloc(asked, alignment);
    }
    if (p == nullptr) { return nullptr; }
    note& n = note_of(p);
    if (n.seal == seal_of(p) && n.state == freed) { check_filled(p, n, site); }
    n.bytes = static_cast<std::uint32_t>(bytes);
    n.allocated = site;
    n.freed_at = 0;
    n.state = live;
    n.seal = seal_of(p);
    fill(p, bytes,
         static_cast<std::size_t>(reinterpret_cast<std::byte*>(&n) - static_cast<std::byte*>(p)),
         behind);
    return p;
  }

  /// As kernel_heap_ref::free.
  /// @error errc::bad_argument 1 when it was recorded as a fault and nothing was freed
  MILLRACE_HD result<void> free(void* p, std::uint32_t site = __builtin_LINE()) const noexcept {
    return give(p, 0, site);
  }
  /// The same for a block whose size the caller knows.
  /// @error as free; a wrong size is recorded, and the block freed
  MILLRACE_HD result<void> deallocate(void* p, std::size_t bytes,
                                      std::uint32_t site = __builtin_LINE()) const noexcept {
    return give(p, bytes, site);
  }

  /// Records every block in use as a leak, and looks at the patterns of all.
  /// @return leaks   @pre nobody uses the heap   @cost O(blocks of the heap)
  MILLRACE_HD std::uint32_t report_leaks(std::uint32_t site = __builtin_LINE()) const noexcept {
    auto const& under = heap_.under();
    std::uint32_t leaks = 0;
    for (std::uint32_t slab = 0; slab < under.slab_count(); ++slab) {
      auto const state = under.state_of(slab);
      std::size_t const each = state.blocks == 0 ? 0 : P::classes::bytes_of(state.size_class);
      std::uint32_t const blocks = state.run_slabs != 0 ? 1 : state.blocks;
      for (std::uint32_t b = 0; b < blocks; ++b) {
        bool const is_free =
            state.run_slabs == 0 && (under.free_blocks(slab, b / 64) >> (b % 64) & 1) != 0;
        void* const p = under.bytes_of(slab) + b * each;
        note const& n = note_of(p);
        if (is_free || n.seal != seal_of(p)) { continue; }
        if (n.state == freed) {
          check_filled(p, n, site);
        } else {
          check_behind(p, n, site);
          record(memory_fault::leak, p, p, n, site);
          ++leaks;
        }
      }
    }
    return leaks;
  }

  [[nodiscard]] MILLRACE_HD kernel_heap_ref<P> const& heap() const noexcept { return heap_; }

 private:
  /// At the end of a block.
  struct alignas(16) note {
    std::uint64_t seal = 0;  ///< says that this is a note, of a block that begins there
    std::uint32_t bytes = 0;
    std::uint32_t state = 0;
    std::uint32_t allocated = 0;
    std::uint32_t freed_at = 0;
    std::uint64_t unused = 0;
  };
  static_assert(sizeof(note) == note_bytes);
  static constexpr std::uint32_t live = 0x6c69'7665;
  static constexpr std::uint32_t freed = 0x6672'6565;
  static constexpr unsigned char behind = 0xb5;   ///< between what was asked for and the note
  static constexpr unsigned char nobodys = 0xdb;  ///< freed

  [[nodiscard]] MILLRACE_HD note& note_of(void* p) const noexcept {
    std::size_t const usable = heap_.usable_bytes(p);
    return *reinterpret_cast<note*>(static_cast<std::byte*>(p) + usable - note_bytes);
  }
  [[nodiscard]] MILLRACE_HD std::uint64_t seal_of(void* p) const noexcept {
    auto const at = reinterpret_cast<std::uintptr_t>(p);
    return (at ^ heap_.usable_bytes(p)) * 0x9e37'79b9'7f4a'7c15u | 1;
  }
  static MILLRACE_HD void fill(void* p, std::size_t from, std::size_t to,
                               unsigned char with) noexcept {
    for (std::size_t i = from; i < to; ++i) { static_cast<unsigned char*>(p)[i] = with; }
  }
  /// The first byte from `from` on that differs; `to` when none does.
  [[nodiscard]] static MILLRACE_HD std::size_t differs(void const* p, std::size_t from,
                                                       std::size_t to,
                                                       unsigned char with) noexcept {
    while (from < to && static_cast<unsigned char const*>(p)[from] == with) { ++from; }
    return from;
  }
  [[nodiscard]] MILLRACE_HD std::size_t before_note(void* p) const noexcept {
    return heap_.usable_bytes(p) - note_bytes;
  }
  MILLRACE_HD void check_behind(void* p, note const& n, std::uint32_t site) const noexcept {
    std::size_t const end = before_note(p);
    std::size_t const wrong = differs(p, n.bytes, end, behind);
    if (wrong != end) { record(memory_fault::overflow, at(p, wrong), p, n, site); }
  }
  MILLRACE_HD void check_filled(void* p, note const& n, std::uint32_t site) const noexcept {
    std::size_t const end = before_note(p);
    std::size_t const wrong = differs(p, 0, end, nobodys);
    if (wrong != end) { record(memory_fault::use_after_free, at(p, wrong), p, n, site); }
  }
  [[nodiscard]] static MILLRACE_HD void* at(void* p, std::size_t offset) noexcept {
    return static_cast<std::byte*>(p) + offset;
  }

  /// What it is to free a place where no block begins. Of a slab that nobody has, a free that comes
  /// too late is the likeliest.
  [[nodiscard]] MILLRACE_HD memory_fault kind_of(void const* p) const noexcept {
    auto const& under = heap_.under();
    if (!under.holds(p)) { return memory_fault::foreign_pointer; }
    return under.is_nobodys(p) ? memory_fault::double_free : memory_fault::interior_pointer;
  }
  MILLRACE_HD result<void> give(void* p, std::size_t bytes, std::uint32_t site) const noexcept {
    if (p == nullptr) { return {}; }
    if (heap_.usable_bytes(p) <= note_bytes) {
      return refuse(kind_of(p), p, nullptr, note{}, site);
    }
    note& n = note_of(p);
    if (n.seal != seal_of(p)) {  // a block that nobody has, or whose end somebody wrote over
      bool const taken = heap_.is_live(p);
      return refuse(taken ? memory_fault::overflow : memory_fault::double_free, taken ? &n : p, p,
                    note{}, site);
    }
    std::uint32_t expected = live;
    if (!access::compare_exchange(n.state, expected, freed, core::acq_rel, core::relaxed,
                                  "checked.free")) {
      return refuse(memory_fault::double_free, p, p, n, site);
    }
    if (bytes != 0 && bytes != n.bytes) { record(memory_fault::wrong_size, p, p, n, site); }
    check_behind(p, n, site);
    n.freed_at = site;
    fill(p, 0, before_note(p), nobodys);
    keep_back(p, site);
    return {};
  }

  /// Puts a freed block where it stays for a while, in place of another. One of whole slabs does
  /// not stay: a few of them may be all that there is.
  MILLRACE_HD void keep_back(void* p, std::uint32_t site) const noexcept {
    if (heap_.usable_bytes(p) > P::classes::largest) {
      static_cast<void>(heap_.free(p));
      return;
    }
    std::uint32_t const turn = access::fetch_add(log_->turn, 1u, core::relaxed, "checked.turn");
    let_go(turn % kernel_fault_log::kept, reinterpret_cast<std::uintptr_t>(p), site);
  }
  /// The block that is kept back at a place makes room for another or none: it is looked at and
  /// goes back to the heap.
  MILLRACE_HD void let_go(std::uint32_t at, std::uint64_t next, std::uint32_t site) const noexcept {
    std::uint64_t& place = log_->quarantine[at];
    std::uint64_t former = access::load(place, core::relaxed, "checked.keep");
    while (former != next && !access::compare_exchange(place, former, next, core::acq_rel,
                                                       core::relaxed, "checked.keep")) {}
    if (former == next || former == 0) { return; }
    auto* const q = reinterpret_cast<void*>(static_cast<std::uintptr_t>(former));
    check_filled(q, note_of(q), site);
    static_cast<void>(heap_.free(q));
  }

  MILLRACE_HD result<void> refuse(memory_fault fault, void* address, void* block, note const& n,
                                  std::uint32_t site) const noexcept {
    record(fault, address, block, n, site);
    return core::fail(errc::bad_argument, 1);
  }
  MILLRACE_HD void record(memory_fault fault, void* address, void* block, note const& n,
                          std::uint32_t site) const noexcept {
    std::uint32_t const i = access::fetch_add(log_->found, 1u, core::relaxed, "checked.found");
    if (i >= kernel_fault_log::room) { return; }
    kernel_fault& to = log_->faults[i];
    to.fault = fault;
    to.bytes = n.bytes;
    to.address = reinterpret_cast<std::uintptr_t>(address);
    to.block = reinterpret_cast<std::uintptr_t>(block);
    to.allocated = n.allocated;
    to.freed = n.freed_at;
    to.now = site;
    // system: the host may look while kernels run
    core::direct_access<cuda::thread_scope_system>::store(to.complete, 1u, core::release,
                                                          "checked.complete");
  }

  kernel_heap_ref<P> heap_;
  kernel_fault_log* log_ = nullptr;
};
static_assert(std::is_trivially_copyable_v<checked_kernel_heap_ref<default_kernel_heap>>);

}  // namespace millrace::inline v0::memory
