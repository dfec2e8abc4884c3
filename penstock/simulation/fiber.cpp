#include <cstdlib>
#include <cstring>
#include <new>

#include <cxxabi.h>
#include <sys/mman.h>

#include <penstock/simulation/fiber.hpp>

#ifdef PENSTOCK_FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace penstock::simulation {
namespace {

constexpr std::size_t guard_bytes = 4096;
constexpr std::size_t stack_bytes = std::size_t{256} * 1024;
constexpr std::size_t mapped_bytes = guard_bytes + stack_bytes;

thread_local fiber* leaving = nullptr;
thread_local fiber* arriving = nullptr;

}  // namespace

#ifndef PENSTOCK_FIBER_UCONTEXT
// Not swapcontext(): it asks the kernel for the signal mask each time, which costs more than all the rest of a step.
extern "C" void penstock_change_stack(void** old_stack_pointer, void* new_stack_pointer) noexcept;
asm(R"(
.text
.p2align 4
.hidden penstock_change_stack
.globl penstock_change_stack
.type penstock_change_stack, @function
penstock_change_stack:
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
.size penstock_change_stack, .-penstock_change_stack
)");
#endif

fiber::~fiber() {
  if (stack_) ::munmap(stack_, mapped_bytes);
}

void fiber::start(function f, void* argument) {
  if (!stack_) {
    void* mapped =
        ::mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    stack_ = static_cast<char*>(mapped);
    ::mprotect(stack_, guard_bytes, PROT_NONE);
  }
  function_ = f;
  argument_ = argument;
  exceptions_ = {};
#ifdef PENSTOCK_FIBER_ASAN
  // The frames in which the last function on this stack ended have never returned.
  __asan_unpoison_memory_region(stack_ + guard_bytes, stack_bytes);
  bottom_ = stack_ + guard_bytes;
  size_ = stack_bytes;
#endif
#ifdef PENSTOCK_FIBER_UCONTEXT
  ::getcontext(&context_);
  context_.uc_stack.ss_sp = stack_ + guard_bytes;
  context_.uc_stack.ss_size = stack_bytes;
  context_.uc_link = nullptr;
  ::makecontext(&context_, &fiber::enter, 0);
#else
  void** top = reinterpret_cast<void**>(stack_ + mapped_bytes);
  *--top = nullptr;  // where enter() would return to: nowhere; debuggers stop here
  *--top = reinterpret_cast<void*>(&fiber::enter);
  for (int i = 0; i < 6; ++i) *--top = nullptr;  // the registers
  stack_pointer_ = top;
#endif
}

void fiber::abandon() noexcept {
#ifdef PENSTOCK_FIBER_ASAN
  if (stack_) __lsan_register_root_region(stack_ + guard_bytes, stack_bytes);
  fake_stack_ = nullptr;
#endif
  stack_ = nullptr;
}

void fiber::change(fiber& from, fiber& to) noexcept {
  void* const runtime = abi::__cxa_get_globals();
  std::memcpy(from.exceptions_.data(), runtime, sizeof from.exceptions_);
  std::memcpy(runtime, to.exceptions_.data(), sizeof to.exceptions_);
  leaving = &from;
  arriving = &to;
#ifdef PENSTOCK_FIBER_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.bottom_, to.size_);
#endif
#ifdef PENSTOCK_FIBER_UCONTEXT
  ::swapcontext(&from.context_, &to.context_);
#else
  penstock_change_stack(&from.stack_pointer_, to.stack_pointer_);
#endif
  arrived(from);
}

void fiber::arrived([[maybe_unused]] fiber& here) noexcept {
#ifdef PENSTOCK_FIBER_ASAN
  // Tells where the stack is that was left: that of the system thread is not known otherwise.
  __sanitizer_finish_switch_fiber(here.fake_stack_, &leaving->bottom_, &leaving->size_);
#endif
}

void fiber::enter() noexcept {
  fiber& self = *arriving;
  arrived(self);
  self.function_(self.argument_);
  std::abort();
}

}  // namespace penstock::simulation
