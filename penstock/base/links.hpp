// links<T>: a doubly linked list of things that live elsewhere; nothing is allocated, and a thing leaves by itself. So
// whoever waits for want of something, memory included, can always stand in line.
//
//   struct sleeper : link { ... };
//   links<sleeper> all;
//   all.push_back(a);   a.unlink();   while (sleeper* s = all.pop_front()) ...
//
// THREADS  One, or the mutex of who owns the list.
// ENDING   A link that is destroyed leaves its list; a list that is destroyed lets its links go.
#pragma once

namespace penstock {

class link {
 public:
  link() noexcept = default;
  link(const link&) = delete;
  link& operator=(const link&) = delete;
  ~link() { unlink(); }

  [[nodiscard]] bool is_linked() const noexcept { return next_ != nullptr; }
  void unlink() noexcept {
    if (!next_) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class T>
  friend class links;
  link* previous_ = nullptr;
  link* next_ = nullptr;
};

template <class T>
class links {
 public:
  links() noexcept = default;
  links(const links&) = delete;
  links& operator=(const links&) = delete;
  ~links() {
    while (pop_front()) {
    }
  }

  [[nodiscard]] bool empty() const noexcept { return ends_.next_ == nullptr || ends_.next_ == &ends_; }
  [[nodiscard]] T* front() const noexcept { return empty() ? nullptr : static_cast<T*>(ends_.next_); }
  [[nodiscard]] T* back() const noexcept { return empty() ? nullptr : static_cast<T*>(ends_.previous_); }
  // Null: it is the last, or the first.
  [[nodiscard]] T* after(const T& one) const noexcept {
    link* const next = static_cast<const link&>(one).next_;
    return next == &ends_ ? nullptr : static_cast<T*>(next);
  }
  [[nodiscard]] T* before(const T& one) const noexcept {
    link* const previous = static_cast<const link&>(one).previous_;
    return previous == &ends_ ? nullptr : static_cast<T*>(previous);
  }
  // REQUIRES: in no list.
  void push_back(T& one) noexcept {
    if (!ends_.next_) ends_.next_ = ends_.previous_ = &ends_;
    insert_before(ends_, one);
  }
  void push_front(T& one) noexcept {
    if (!ends_.next_) ends_.next_ = ends_.previous_ = &ends_;
    insert_before(*ends_.next_, one);
  }
  T* pop_front() noexcept {
    T* const first = front();
    if (first) static_cast<link*>(first)->unlink();
    return first;
  }
  // All of the other's behind the own.
  void take_all(links& other) noexcept {
    if (other.empty()) return;
    if (!ends_.next_) ends_.next_ = ends_.previous_ = &ends_;
    link* const first = other.ends_.next_;
    link* const last = other.ends_.previous_;
    other.ends_.next_ = other.ends_.previous_ = &other.ends_;
    first->previous_ = ends_.previous_;
    ends_.previous_->next_ = first;
    last->next_ = &ends_;
    ends_.previous_ = last;
  }

 private:
  // Not a T: never taken for one.
  static void insert_before(link& next, link& one) noexcept {
    one.next_ = &next;
    one.previous_ = next.previous_;
    next.previous_->next_ = &one;
    next.previous_ = &one;
  }

  link ends_;  // of the ring; not linked to itself before the first use, so that an unused list costs nothing
};

}  // namespace penstock
