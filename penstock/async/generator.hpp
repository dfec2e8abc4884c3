// generator<Question, Answer, Result>: a function that asks its caller, gets answers, and returns a result. So its logic
// is kept apart from where the answers come from: a table in a test, a disk, another thread.
//
//   generator<place, cell, int> count_neighbours(int y, int x) {
//     int n = 0;
//     for (const place p : around(y, x)) {
//       const cell c = co_yield p;                            // asks
//       n += c == cell::alive;
//     }
//     co_return n;
//   }
//   generator<place, cell, cell> step(int y, int x) {
//     const cell now = co_yield place{y, x};
//     const int n = co_await count_neighbours(y, x);          // its questions become this one's, and so on inwards
//     co_return rule(now, n);
//   }
//   auto g = step(3, 4);
//   while (const place* asked = g.question()) g.send(board.at(*asked));
//   board.set(3, 4, g.result());
//
// STARTING  With the first question(), or resume().
// ERRORS    What escapes is thrown by the call that made it run on: question(), send().
// ENDING    Destroyed at a question: its frame, and those inside of it, are destroyed, from the innermost outwards, one
//           after the other: the stack does not grow with the depth.
// THREADS   One at a time; not bound to one, nor to a loop.
// COST      2 to 3 ns for a send, at any depth.
#pragma once

#include <cassert>
#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace penstock {

template <class Question, class Answer = void, class Result = void>
class generator;

namespace generator_parts {

template <class T>
using value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class Question, class Answer>
class promise_base;

// What the outermost one has to do with its caller.
template <class Question, class Answer>
struct conversation {
  std::coroutine_handle<> innermost;  // an answer goes to it
  promise_base<Question, Answer>* innermost_promise = nullptr;
  std::optional<Question> question;
  value<Answer>* answer = nullptr;
  bool ended = false;
};

template <class Question, class Answer>
class promise_base {
 public:
  explicit promise_base(std::coroutine_handle<> own) noexcept : coroutine_(own) {}
  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() const noexcept { return end{}; }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  // The question is kept here, not referred to where it was yielded: it may be asked for as long as it is open.
  template <class Q = Question>  // by default for co_yield {}, which has no type to deduce
    requires std::constructible_from<Question, Q&&>
  auto yield_value(Q&& question) {
    talk_->question.emplace(std::forward<Q>(question));
    return asking{talk_};
  }

  // parent, where: of one that another one awaits, and what refers to it there.
  void begin(conversation<Question, Answer>& talk, promise_base* parent = nullptr,
             promise_base** where = nullptr) noexcept {
    talk_ = &talk;
    parent_ = parent;
    where_ = where;
    is_innermost();
  }
  // Destroys the frame, and before it those inside of it, the innermost first.
  static void destroy(promise_base& outermost) noexcept {
    if (outermost.talk_ && !outermost.parent_)
      for (promise_base* p = outermost.talk_->innermost_promise; p != &outermost;) {
        promise_base* const parent = p->parent_;
        *p->where_ = nullptr;
        p->coroutine_.destroy();
        p = parent;
      }
    outermost.coroutine_.destroy();
  }
  [[nodiscard]] conversation<Question, Answer>& talk() const noexcept { return *talk_; }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct asking {
    conversation<Question, Answer>* talk;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    Answer await_resume() const {
      if constexpr (!std::is_void_v<Answer>) return std::move(*talk->answer);
    }
  };
  struct end {
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> h) const noexcept {
      const promise_base& p = h.promise();
      if (p.parent_)
        p.parent_->is_innermost();
      else
        p.talk_->ended = true;
    }
    void await_resume() const noexcept {}
  };

  void is_innermost() noexcept {
    talk_->innermost = coroutine_;
    talk_->innermost_promise = this;
  }

  conversation<Question, Answer>* talk_ = nullptr;
  promise_base* parent_ = nullptr;
  promise_base** where_ = nullptr;
  const std::coroutine_handle<> coroutine_;  // its own
  std::exception_ptr error_;
};

template <class Question, class Answer, class Result>
class promise final : public promise_base<Question, Answer> {
 public:
  promise() noexcept : promise_base<Question, Answer>(std::coroutine_handle<promise>::from_promise(*this)) {}
  generator<Question, Answer, Result> get_return_object() noexcept;
  template <class R = Result>
    requires std::convertible_to<R&&, Result>
  void return_value(R&& result) {
    result_.emplace(std::forward<R>(result));
  }
  Result result() {
    this->rethrow();
    return std::move(*result_);
  }

 private:
  std::optional<Result> result_;
};
template <class Question, class Answer>
class promise<Question, Answer, void> final : public promise_base<Question, Answer> {
 public:
  promise() noexcept : promise_base<Question, Answer>(std::coroutine_handle<promise>::from_promise(*this)) {}
  generator<Question, Answer, void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void result() const { this->rethrow(); }
};

}  // namespace generator_parts

template <class Question, class Answer, class Result>
class [[nodiscard]] generator {
 public:
  using promise_type = generator_parts::promise<Question, Answer, Result>;
  using question_type = Question;

  explicit generator(std::coroutine_handle<promise_type> h) noexcept : promise_(&h.promise()) {}
  generator(generator&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {
    assert((!promise_ || !talk_.innermost) && "a generator that has begun does not move");
  }
  generator& operator=(generator&&) = delete;
  ~generator() {
    if (promise_) base::destroy(*promise_);
  }

  // The open question; null: it has ended, and has a result.
  const Question* question() {
    if (!talk_.innermost) {
      promise_->begin(talk_);
      advance();
    }
    return talk_.question ? &*talk_.question : nullptr;
  }
  // The answer to the open question. REQUIRES: there is one.
  void send(generator_parts::value<Answer> answer) {
    assert(talk_.question && "an answer without a question");
    talk_.question.reset();
    talk_.answer = &answer;
    advance();
  }
  // Where no answer is expected: the next one.
  void next()
    requires std::is_void_v<Answer>
  {
    send({});
  }
  // REQUIRES: it has ended. Once.
  Result result() {
    assert(talk_.ended && "a generator's result comes when question() is null");
    return promise().result();
  }

  // co_await in another generator with the same questions and answers.
  bool await_ready() const noexcept { return false; }
  template <class P>
    requires std::derived_from<P, generator_parts::promise_base<Question, Answer>>
  void await_suspend(std::coroutine_handle<P> parent) noexcept {
    promise_->begin(parent.promise().talk(), &parent.promise(), &promise_);
  }
  Result await_resume() { return promise().result(); }

 private:
  // To the next question or the end; what ends inside on the way hands over to the one outside of it.
  void advance() {
    do {
      talk_.innermost.resume();
    } while (!talk_.question && !talk_.ended);
    if (talk_.ended) [[unlikely]]
      promise_->rethrow();
  }
  promise_type& promise() const noexcept { return static_cast<promise_type&>(*promise_); }

  using base = generator_parts::promise_base<Question, Answer>;
  base* promise_;
  generator_parts::conversation<Question, Answer> talk_;
};

template <class Question, class Answer, class Result>
generator<Question, Answer, Result> generator_parts::promise<Question, Answer, Result>::get_return_object() noexcept {
  return generator<Question, Answer, Result>(std::coroutine_handle<promise>::from_promise(*this));
}
template <class Question, class Answer>
generator<Question, Answer, void> generator_parts::promise<Question, Answer, void>::get_return_object() noexcept {
  return generator<Question, Answer, void>(std::coroutine_handle<promise>::from_promise(*this));
}

}  // namespace penstock
