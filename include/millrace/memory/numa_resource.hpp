// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace millrace::inline v0::memory {

/// Host memory whose pages lie on one NUMA node, from the first touch on, whoever touches them.
/// Whole pages: for buffers and arenas, not for small blocks. Needs no libnuma.
/// @thread any   @cost two system calls
class numa_resource {
 public:
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = false;
  static constexpr std::size_t max_alignment = 4096;  // the smallest page there is
  static constexpr int most_nodes = 1024;             // what Linux is built for at most

  explicit constexpr numa_resource(int node) noexcept : node_{node} {}

  [[nodiscard]] constexpr int node() const noexcept { return node_; }

  /// @error as check_request; errc::bad_argument 3 for a node that is not there;
  ///        errc::out_of_memory when the system admits no such range; errc::native_failure when it
  ///        lets this process place no pages (a container without the right to, on a machine with
  ///        several nodes)
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes,
                                           std::size_t alignment) const noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    if (node_ < 0 || node_ >= most_nodes) { return core::fail(errc::bad_argument, 3); }
    int const kept = errno;
    std::size_t const mapped = whole_pages(bytes);
    void* const p = mapped < bytes ? MAP_FAILED
                                   : ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    result<void*> made = core::fail(errc::out_of_memory);
    if (p != MAP_FAILED) {
      made = p;
      if (int const refused = bind(p, mapped); refused != 0) {
        ::munmap(p, mapped);
        made = refused == EINVAL ? core::fail(errc::bad_argument, 3)
                                 : core::fail(errc::native_failure, core::origin::posix, refused);
      }
    }
    errno = kept;
    return made;
  }

  void deallocate(void* p, std::size_t bytes, std::size_t) const noexcept {
    int const kept = errno;
    ::munmap(p, whole_pages(bytes));
    errno = kept;
  }

  /// Any gives back what any other gave.
  [[nodiscard]] friend constexpr bool operator==(numa_resource, numa_resource) noexcept {
    return true;
  }

 private:
  [[nodiscard]] static std::size_t whole_pages(std::size_t bytes) noexcept {
    auto const page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return (bytes + page - 1) & ~(page - 1);
  }

  /// 0, or why the pages cannot be placed.
  [[nodiscard]] int bind(void* p, std::size_t bytes) const noexcept {
    constexpr int bits = 8 * sizeof(unsigned long);
    unsigned long nodes[most_nodes / bits] = {};
    nodes[node_ / bits] = 1ul << (node_ % bits);
    constexpr int only_these = 2;  // MPOL_BIND
    // the kernel reads one bit less than it is told
    long const done = ::syscall(SYS_mbind, p, bytes, only_these, nodes, most_nodes + 1ul, 0u);
    if (done == 0) { return 0; }
    int const why = errno;
    // with one node every page lies there; a kernel without nodes has node 0
    bool const may_not = why == ENOSYS || why == EPERM;
    return may_not && is_only_node(node_) ? 0 : why;
  }

  [[nodiscard]] static bool is_only_node(int node) noexcept {
    int const file = ::open("/sys/devices/system/node/has_memory", O_RDONLY | O_CLOEXEC);
    if (file < 0) { return node == 0; }
    char text[16] = {};
    auto const length = ::read(file, text, sizeof text - 1);
    ::close(file);
    int number = 0;
    auto i = decltype(length){0};
    for (; i < length && text[i] >= '0' && text[i] <= '9'; ++i) {
      number = 10 * number + (text[i] - '0');
    }
    return i > 0 && (i == length || text[i] == '\n') && number == node;
  }

  int node_;
};
static_assert(host_accessible_resource<numa_resource>);

}  // namespace millrace::inline v0::memory
