// SPDX-License-Identifier: Apache-2.0
#include "fiber.hpp"

#include <cstdint>
#include <cstdlib>
#include <new>
#include <sys/mman.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
// Saves the callee-saved registers on the running stack, stores its pointer through the first
// argument and continues on the stack of the second. Far cheaper than swapcontext, which calls the
// kernel for the signal mask at every switch.
extern "C" void race_switch_stack(void** save, void* load);
asm(R"(
.text
.p2align 4
.globl race_switch_stack
.hidden race_switch_stack
.type race_switch_stack,@function
race_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size race_switch_stack, .-race_switch_stack
)");
#endif

namespace race {

namespace {
constexpr std::size_t stack_bytes = 256 * 1024;
constexpr std::size_t guard_bytes = 64 * 1024;
}  // namespace

struct fiber::context {
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
  std::byte* mapping = nullptr;  // null for the operating system thread's own stack
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t machine{};
#endif
  void const* bottom = nullptr;
  std::size_t size = 0;
  void* fake_stack = nullptr;
  void* tsan = nullptr;
  unsigned restarts = 0;
};

namespace {

fiber::context thread_context;
fiber::context* running = &thread_context;
[[maybe_unused]] fiber::context* previous = nullptr;

void finish_switch() {
#if defined(__SANITIZE_ADDRESS__)
  void const* bottom = nullptr;
  std::size_t size = 0;
  __sanitizer_finish_switch_fiber(running->fake_stack, &bottom, &size);
  if (previous == &thread_context) {
    thread_context.bottom = bottom;
    thread_context.size = size;
  }
#endif
}

void switch_to(fiber::context& target) {
  fiber::context& self = *running;
  if (&target == &self) { return; }
#if defined(__SANITIZE_THREAD__)
  if (self.tsan == nullptr) { self.tsan = __tsan_get_current_fiber(); }
  __tsan_switch_to_fiber(target.tsan, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&self.fake_stack, target.bottom, target.size);
#endif
  previous = &self;
  running = &target;
#if defined(__x86_64__)
  race_switch_stack(&self.stack_pointer, target.stack_pointer);
#else
  swapcontext(&self.machine, &target.machine);
#endif
  finish_switch();
}

[[noreturn]] void first_call() {
  finish_switch();
  running->entry(running->argument);
  std::abort();  // the entry function returned
}

}  // namespace

fiber::fiber() : context_(new context) {
  void* const memory = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, guard_bytes, PROT_NONE) != 0) {
    throw std::bad_alloc();
  }
  context_->mapping = static_cast<std::byte*>(memory);
  context_->bottom = context_->mapping + guard_bytes;
  context_->size = stack_bytes;
}

fiber::~fiber() {
#if defined(__SANITIZE_THREAD__)
  if (context_->tsan != nullptr) { __tsan_destroy_fiber(context_->tsan); }
#endif
  munmap(context_->mapping, guard_bytes + stack_bytes);
  delete context_;
}

void fiber::restart(void (*entry)(void*), void* argument) {
  context& c = *context_;
  c.entry = entry;
  c.argument = argument;
  c.fake_stack = nullptr;
  std::byte* const bottom = c.mapping + guard_bytes;
#if defined(__SANITIZE_ADDRESS__)
  // What abandoned frames poisoned, here or on an earlier mapping of these addresses.
  __asan_unpoison_memory_region(bottom, stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  // An abandoned fiber leaves a call stack behind in the sanitizer too, which has room for 65,536
  // frames: begin with a new one now and then. That is dear, so not each time.
  if (c.tsan != nullptr && ++c.restarts % 512 == 0) {
    __tsan_destroy_fiber(c.tsan);
    c.tsan = nullptr;
  }
  if (c.tsan == nullptr) { c.tsan = __tsan_create_fiber(0); }
#endif
#if defined(__x86_64__)
  // As if first_call had been called: its return address slot lies 8 below a multiple of 16.
  auto** top = reinterpret_cast<void**>(bottom + stack_bytes);
  *--top = nullptr;
  *--top = nullptr;
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&first_call);
  for (int i = 0; i < 6; ++i) { *--top = nullptr; }
  c.stack_pointer = top;
#else
  getcontext(&c.machine);
  c.machine.uc_stack.ss_sp = bottom;
  c.machine.uc_stack.ss_size = stack_bytes;
  c.machine.uc_link = nullptr;
  makecontext(&c.machine, &first_call, 0);
#endif
}

void fiber::resume() { switch_to(*context_); }
void fiber::resume_thread() { switch_to(thread_context); }
bool fiber::inside() { return running != &thread_context; }

}  // namespace race
