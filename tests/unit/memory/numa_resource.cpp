// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/numa_resource.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace memory = millrace::memory;
using memory::numa_resource;
using millrace::errc;

namespace {

/// The node that a touched page lies on, or -1 where the system does not say.
int node_of(void* page) {
  int node = -1;
  long const asked = ::syscall(SYS_move_pages, 0, 1ul, &page, nullptr, &node, 0);
  return asked == 0 ? node : -1;
}

/// Whether the address is mapped.
bool mapped(void* page) {
  unsigned char there = 0;
  return ::mincore(page, 1, &there) == 0;
}

}  // namespace

TEST_CASE("numa_resource: the pages lie on the node asked for, and go back") {
  numa_resource const from(0);
  constexpr std::size_t bytes = (std::size_t{1} << 20) + 3;
  auto const got = from.try_allocate(bytes, 64);
  REQUIRE(got);
  CHECK(reinterpret_cast<std::uintptr_t>(*got) % numa_resource::max_alignment == 0);
  std::memset(*got, 0x5A, bytes);
  int const node = node_of(*got);
  if (node >= 0) { CHECK(node == 0); }
  CHECK(mapped(*got));
  numa_resource(from).deallocate(*got, bytes, 64);
  CHECK_FALSE(mapped(*got));
}

TEST_CASE("numa_resource: buffers live in it") {
  auto made = memory::buffer<std::uint64_t, numa_resource>::make_zeroed(5000, numa_resource(0));
  REQUIRE(made);
  (*made)[4999] = 7;
  CHECK((*made)[4999] == 7);
  CHECK((*made)[0] == 0);
}

TEST_CASE("numa_resource: bad input and missing memory are results, and errno stays") {
  errno = 4711;
  CHECK(numa_resource(0).try_allocate(0, 8).error().native == 1);
  CHECK(numa_resource(0).try_allocate(8, 3).error().native == 2);
  CHECK(numa_resource(0).try_allocate(8, 8192).error().native == 2);
  CHECK(numa_resource(0).try_allocate(std::size_t{1} << 60, 8).error().code == errc::out_of_memory);
  CHECK(numa_resource(0).try_allocate(memory::max_request_bytes - 8, 8).error().code ==
        errc::out_of_memory);
  for (int const node : {-1, 1000, numa_resource::most_nodes, 1 << 30}) {
    CAPTURE(node);
    auto const got = numa_resource(node).try_allocate(8, 8);
    REQUIRE_FALSE(got);
    // a kernel that may place no pages for us cannot say that the node is missing
    bool const may_not = got.error().code == errc::native_failure &&
                         (got.error().native == EPERM || got.error().native == ENOSYS);
    CHECK((may_not || (got.error().code == errc::bad_argument && got.error().native == 3)));
  }
  CHECK(errno == 4711);
}
