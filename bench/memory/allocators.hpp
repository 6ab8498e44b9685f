// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/memory/heap.hpp>
#include <millrace/memory/heatmap.hpp>
#include <millrace/memory/pmr.hpp>
#include <millrace/memory/pool.hpp>

#include <cstddef>
#include <cstdlib>
#include <memory_resource>
#include <utility>

#if __has_include(<boost/pool/pool.hpp>)
#include <boost/pool/pool.hpp>
#define MILLRACE_BENCH_BOOST_POOL 1
#endif

namespace millrace::bench {

/// What the workloads allocate from. `session` is one thread's way in; each thread makes its own.

/// malloc of whichever library is preloaded. The sink keeps the compiler from pairing calls away.
struct libc_malloc {
  struct session {
    explicit session(libc_malloc&) {}
    [[nodiscard]] void* allocate(std::size_t bytes) {
      void* p = std::malloc(bytes);
      asm volatile("" : "+r"(p));
      return p;
    }
    void deallocate(void* p, std::size_t) { std::free(p); }
  };
};

/// millrace's heap as any thread finds it.
struct millrace_heap {
  memory::heap<> of = core::value_or_throw(memory::heap<>::make());

  struct session {
    explicit session(millrace_heap& all) : of(&all.of) {}
    [[nodiscard]] void* allocate(std::size_t bytes) { return of->allocate_or_null(bytes); }
    void deallocate(void* p, std::size_t bytes) { of->deallocate(p, bytes); }
    memory::heap<>* of;
  };
};

/// The same through each thread's own cache, held at hand.
struct millrace_local {
  memory::heap<> of = core::value_or_throw(memory::heap<>::make());

  struct session {
    explicit session(millrace_local& all) : of(core::value_or_throw(all.of.open())) {}
    [[nodiscard]] void* allocate(std::size_t bytes) { return of.allocate_or_null(bytes); }
    void deallocate(void* p, std::size_t bytes) { of.deallocate(p, bytes); }
    memory::local_heap<> of;
  };
};

template <std::size_t Bytes>
struct object {
  std::byte bytes[Bytes];
};
/// Objects of one size.
template <std::size_t Bytes>
struct millrace_pool {
  memory::heap<> of = core::value_or_throw(memory::heap<>::make());

  struct session {
    explicit session(millrace_pool& all)
        : of(core::value_or_throw(memory::pool<object<Bytes>>::make(all.of))) {}
    [[nodiscard]] void* allocate(std::size_t) { return of.allocate(); }
    void deallocate(void* p, std::size_t) { of.deallocate(p); }
    memory::pool<object<Bytes>> of;
  };
};

#if defined(MILLRACE_BENCH_BOOST_POOL)
template <std::size_t Bytes>
struct boost_pool {
  struct session {
    explicit session(boost_pool&) {}
    [[nodiscard]] void* allocate(std::size_t) { return of.malloc(); }
    void deallocate(void* p, std::size_t) { of.free(p); }
    boost::pool<> of{Bytes};
  };
};
#endif

/// Through std::pmr's virtual calls, which the compiler may not see through.
struct pmr_session {
  explicit pmr_session(std::pmr::memory_resource* from) : of(from) { asm volatile("" : "+r"(of)); }
  [[nodiscard]] void* allocate(std::size_t bytes) { return of->allocate(bytes, 16); }
  void deallocate(void* p, std::size_t bytes) { of->deallocate(p, bytes, 16); }
  std::pmr::memory_resource* of;
};
struct millrace_pmr {
  memory::pmr_resource<memory::heap<>> of{core::value_or_throw(memory::heap<>::make())};
  struct session : pmr_session {
    explicit session(millrace_pmr& all) : pmr_session(&all.of) {}
  };
};
/// One thread's cache, for one thread, as std::pmr::unsynchronized_pool_resource is.
struct millrace_pmr_local {
  memory::heap<> of = core::value_or_throw(memory::heap<>::make());
  memory::local_heap<> mine = core::value_or_throw(of.open());
  memory::pmr_resource<memory::local_resource<>> resource{memory::local_resource<>(mine)};
  struct session : pmr_session {
    explicit session(millrace_pmr_local& all) : pmr_session(&all.resource) {}
  };
};
/// What two virtual calls cost with the least behind them: a stack of blocks.
struct virtual_stack {
  struct resource final : std::pmr::memory_resource {
    void* do_allocate(std::size_t, std::size_t) override { return blocks[--count]; }
    void do_deallocate(void* p, std::size_t, std::size_t) override { blocks[count++] = p; }
    [[nodiscard]] bool do_is_equal(std::pmr::memory_resource const& other) const noexcept override {
      return this == &other;
    }
    alignas(64) std::byte only[64];
    void* blocks[2] = {only};
    std::size_t count = 1;
  };
  resource of;
  struct session : pmr_session {
    explicit session(virtual_stack& all) : pmr_session(&all.of) {}
  };
};
struct std_unsynchronized {
  std::pmr::unsynchronized_pool_resource of;
  struct session : pmr_session {
    explicit session(std_unsynchronized& all) : pmr_session(&all.of) {}
  };
};
/// Buffers that nobody shares: what cache_scratch and cache_thrash are measured against.
struct private_buffers {
  struct session {
    explicit session(private_buffers&) {}
    [[nodiscard]] void* allocate(std::size_t) { return mine; }
    void deallocate(void*, std::size_t) {}
    alignas(128) std::byte mine[1024];
  };
};

}  // namespace millrace::bench
