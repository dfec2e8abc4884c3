// fiber: a stack of its own, and the switch between two of them. What a simulated thread stands on.
//
//   fiber root, worker;                        // root: the system thread's own stack
//   worker.start(&work, &what_it_needs);
//   fiber::change(root, worker);               // comes back when somebody changes to root
//
// THREADS  All fibers that change to one another belong to one system thread.
// MEMORY   A guard page under each stack. abandon() keeps a stack for ever: what still lives on it is not destroyed.
#pragma once

#include <array>
#include <cstddef>

#if !defined(__x86_64__)
#define PENSTOCK_FIBER_UCONTEXT
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PENSTOCK_FIBER_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PENSTOCK_FIBER_ASAN
#endif
#endif

namespace penstock::simulation {

class fiber {
 public:
  using function = void (*)(void*);

  fiber() = default;
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;
  ~fiber();

  // The next change to this fiber calls f(argument) on its stack, which is the same one each time. `f` must not return.
  void start(function f, void* argument);
  void abandon() noexcept;

  // Leaves `from`, which is the running one, and goes on with `to`.
  static void change(fiber& from, fiber& to) noexcept;

 private:
  static void enter() noexcept;
  static void arrived(fiber& here) noexcept;

  char* stack_ = nullptr;  // the guard page included; null: the system thread's own, or none yet
#ifdef PENSTOCK_FIBER_UCONTEXT
  ucontext_t context_{};
#else
  void* stack_pointer_ = nullptr;
#endif
  std::array<void*, 2> exceptions_{};  // in flight and caught: what the C++ runtime keeps per thread
  function function_ = nullptr;
  void* argument_ = nullptr;
#ifdef PENSTOCK_FIBER_ASAN
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
#endif
};

}  // namespace penstock::simulation
