// What a function does to its process costs one item, which says what happened; everything else goes on.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

#include <penstock/penstock.hpp>
#include <penstock/process/descriptors.hpp>
#include <penstock/process/isolated.hpp>
#include <penstock/process/process_pool.hpp>
#include <penstock/process/shared_bytes.hpp>

#include "tests/process/process_testing.hpp"

namespace penstock::process {

using namespace std::chrono_literals;

// --- the functions that are isolated; see main() ---

[[noreturn]] void crash() {
  ::signal(SIGSEGV, SIG_DFL);  // a sanitizer has its own
  ::raise(SIGSEGV);
  ::abort();
}
[[noreturn]] void hang() {
  for (;;) ::pause();
}

int twice(int n) { return 2 * n; }
// 1 of 100 crashes.
int crashing(const int& n) {
  if (n % 100 == 37) crash();
  return n;
}
// A word that says what to do.
std::string obey(const std::string& word) {
  if (word == "crash") crash();
  if (word == "hang") hang();
  if (word == "exit") std::exit(3);
  if (word == "exit 0") std::exit(0);
  if (word == "_exit") ::_exit(4);
  if (word == "quick_exit") std::quick_exit(5);
  if (word == "abort") {
    ::signal(SIGABRT, SIG_DFL);
    std::abort();
  }
  if (word == "pthread_exit") ::pthread_exit(nullptr);
  if (word == "cancel") {
    ::pthread_cancel(::pthread_self());
    ::pthread_testcancel();
  }
  if (word == "terminate") std::terminate();
  if (word == "exec") ::execl("/bin/true", "true", nullptr);
  if (word.starts_with("close all")) {
    ::close_range(0, ~0U, 0);
    if (word.ends_with("and hang")) hang();
  }
  if (word == "close output") ::close(1);
  if (word == "fork and return") ::fork();
  if (word == "fork and throw" && ::fork() == 0) throw std::runtime_error("from the copy");
  if (word == "fork and pthread_exit" && ::fork() == 0) ::pthread_exit(nullptr);
  if (word == "close input")
    // Whatever its number: the pipe that it reads its requests from is the only one that it can read.
    for (int fd = 3; fd < 100; ++fd) {
      struct stat about {};
      if (::fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode) && (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        ::dup2(STDIN_FILENO, fd);
    }
  if (word == "throw") throw std::runtime_error("I was told to");
  if (word == "throw 5") throw 5;
  if (word == "print") {
    std::puts("into the middle of the replies?");
    std::fflush(stdout);
  }
  if (word == "read") return std::to_string(std::getchar());
  if (word == "pid") return std::to_string(::getpid());
  if (word == "fds") {
    std::string list;
    for (const auto& [fd, what] : open_descriptors()) list += std::to_string(fd) + " ";
    return list;
  }
  if (word == "memory") {
    std::vector<std::string> all;
    for (int i = 0; i < 1000; ++i) all.emplace_back(std::size_t{10} << 20, 'x');
    return "so much";
  }
  if (word.starts_with("long")) return std::string(std::stoul(word.substr(5)), 'x');
  return word + "!";
}
// Appends its item to a file, as a witness of how often it was called.
int witness(const std::pair<std::string, int>& where) {
  const unique_fd file(::open(where.first.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  const std::string line = std::to_string(where.second) + "\n";
  (void)!::write(file.get(), line.data(), line.size());
  if (where.second % 10 == 3) crash();
  if (where.second % 10 == 7) throw std::runtime_error("seven");
  return where.second;
}
void nothing(const int&) {}
int never_named(int n) { return n; }

struct picture {
  std::string name;
  std::vector<std::byte> pixels;
  std::optional<std::pair<int, double>> place;
  std::vector<std::string> words;
  friend auto wire_parts(picture& p) { return std::tie(p.name, p.pixels, p.place, p.words); }
  friend bool operator==(const picture&, const picture&) = default;
};
picture turned(picture p) {
  std::reverse(p.pixels.begin(), p.pixels.end());
  return p;
}

// Bytes that are shared; returned is what the other process sees of them.
struct document {
  shared_bytes text;
  bool writes = false;
  friend auto wire_parts(document& d) { return std::tie(d.text, d.writes); }
};
std::string read_there(const document& d) {
  const auto bytes = d.text.bytes();
  if (d.writes) ::signal(SIGSEGV, SIG_DFL);
  if (d.writes) *const_cast<std::byte*>(bytes.data()) = std::byte{'!'};
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

namespace {

using isolated_test = nothing_left;

template <class Error, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(wire, brings_back_what_was_sent) {
  const picture p{"a\0b", {std::byte{1}, std::byte{2}}, {{3, 4.5}}, {"", "x", std::string(1000, 'y')}};
  EXPECT_EQ(from_wire<picture>(to_wire(p)), p);
  EXPECT_EQ(from_wire<picture>(to_wire(picture{})), picture{});
  const std::pair<std::set<std::string>, std::map<std::string, std::vector<int>>> named{{"a", "b"},
                                                                                        {{"x", {1, 2}}, {"y", {}}}};
  EXPECT_EQ((from_wire<std::pair<std::set<std::string>, std::map<std::string, std::vector<int>>>>(to_wire(named))),
            named);
  EXPECT_THROW((void)(from_wire<std::set<int>>(to_wire(std::uint64_t{1} << 62))), wire_error);
  const std::tuple<int, std::filesystem::path, std::vector<bool>> t{1, "/a", {true, false}};
  EXPECT_EQ((from_wire<std::tuple<int, std::filesystem::path, std::vector<bool>>>(to_wire(t))), t);
}

TEST(wire, refuses_what_is_cut_or_longer) {
  const std::string whole = to_wire(picture{"name", {std::byte{1}}, {}, {"word"}});
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_THROW((void)from_wire<picture>(whole.substr(0, n)), wire_error);
  EXPECT_THROW((void)from_wire<picture>(whole + "x"), wire_error);
  EXPECT_THROW((void)from_wire<std::vector<int>>(to_wire(std::uint64_t{1} << 62)), wire_error);
  static_assert(!wireable<int*> && !wireable<std::string_view> && !wireable<std::vector<const char*>>);
}

// The largest block that a container of the test below has asked for.
std::size_t largest_block = 0;
template <class T>
struct watched_allocator : std::allocator<T> {
  watched_allocator() = default;
  template <class U>
  watched_allocator(const watched_allocator<U>&) noexcept {}
  template <class U>
  struct rebind {
    using other = watched_allocator<U>;
  };
  T* allocate(std::size_t n) {
    largest_block = std::max(largest_block, n * sizeof(T));
    if (n * sizeof(T) > std::size_t{64} << 20) throw std::logic_error("a block of more than 64 MiB");
    return std::allocator<T>::allocate(n);
  }
};
template <class T>
using watched_vector = std::vector<T, watched_allocator<T>>;
struct empty_parts {
  friend auto wire_parts(empty_parts&) { return std::tie(); }
};
struct tree {
  int number = 0;
  watched_vector<tree> children;
  friend auto wire_parts(tree& t) { return std::tie(t.number, t.children); }
};

template <class T>
class hostile_message : public ::testing::Test {};
using hostile_types = ::testing::Types<
    watched_vector<int>, watched_vector<char>, watched_vector<bool>, watched_vector<std::string>,
    watched_vector<watched_vector<double>>, watched_vector<std::optional<int>>, watched_vector<std::tuple<>>,
    watched_vector<empty_parts>, watched_vector<std::pair<int, std::string>>, std::set<std::string>,
    std::set<std::uint64_t>, std::map<int, watched_vector<int>>, std::map<std::string, std::map<int, std::string>>,
    std::optional<watched_vector<int>>, std::tuple<std::string, std::filesystem::path, bool>, picture, tree>;
TYPED_TEST_SUITE(hostile_message, hostile_types);

template <class T>
T some_value(std::mt19937& random, int depth = 0) {
  const auto count = [&] { return depth > 3 ? 0 : random() % 4; };
  if constexpr (std::is_same_v<T, picture>) {
    return {some_value<std::string>(random), some_value<std::vector<std::byte>>(random), std::pair<int, double>{1, 2.5},
            some_value<std::vector<std::string>>(random)};
  } else if constexpr (std::is_same_v<T, tree>) {
    tree made{static_cast<int>(random() % 100), {}};
    for (auto n = count(); n > 0; --n) made.children.push_back(some_value<tree>(random, depth + 1));
    return made;
  } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
    return some_value<std::string>(random);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return std::string(random() % 20, 'x');
  } else if constexpr (wire::is_vector<T> || wire::is_set<T>) {
    T made;
    for (auto n = count(); n > 0; --n) made.insert(made.end(), some_value<typename T::value_type>(random, depth + 1));
    return made;
  } else if constexpr (wire::is_map<T>) {
    T made;
    for (auto n = count(); n > 0; --n)
      made.emplace(some_value<typename T::key_type>(random, depth + 1),
                   some_value<typename T::mapped_type>(random, depth + 1));
    return made;
  } else if constexpr (wire::is_optional<T>) {
    if (random() % 2) return some_value<typename T::value_type>(random, depth + 1);
    return {};
  } else if constexpr (wire::is_tuple<T>) {
    T made;
    if constexpr (std::tuple_size_v<T> > 0)
      std::apply([&](auto&... part) { ((part = some_value<std::decay_t<decltype(part)>>(random, depth + 1)), ...); },
                 made);
    return made;
  } else if constexpr (std::is_same_v<T, empty_parts>) {
    return {};
  } else {
    return static_cast<T>(random() % 2);
  }
}

// Whatever the bytes: a value, which can be sent again, or a wire_error, and no block larger than the bytes can mean.
TYPED_TEST(hostile_message, is_a_value_or_an_error) {
  std::mt19937 random(20'211);
  const auto take = [](const std::string& bytes) {
    largest_block = 0;
    try {
      const auto value = from_wire<TypeParam>(bytes);
      (void)to_wire(value);
    } catch (const wire_error&) {
    }
    // A vector grows by doubling; an element in memory is at most so much larger than on its way.
    EXPECT_LE(largest_block, 4096 + 256 * bytes.size());
  };
  constexpr std::array<std::uint64_t, 9> wild{0,
                                              1,
                                              255,
                                              1u << 20,
                                              1u << 31,
                                              std::uint64_t{1} << 32,
                                              std::uint64_t{1} << 61,
                                              std::uint64_t{1} << 63,
                                              ~std::uint64_t{0}};
  for (int round = 0; round < 60; ++round) {
    const auto value = some_value<TypeParam>(random);
    const std::string whole = to_wire(value);
    EXPECT_EQ(to_wire(from_wire<TypeParam>(whole)), whole);
    for (std::size_t at = 0; at < whole.size(); ++at) {
      EXPECT_THROW((void)from_wire<TypeParam>(whole.substr(0, at)), wire_error);
      std::string changed = whole;
      changed[at] = static_cast<char>(random());
      take(changed);
      for (const std::uint64_t count : wild) {
        if (whole.size() - at < sizeof count) break;
        std::memcpy(changed.data() + at, &count, sizeof count);
        take(changed);
      }
    }
    std::string noise(random() % 64, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    take(noise);
  }
}

TEST(wire, refuses_a_truth_value_that_is_neither) {
  EXPECT_THROW((void)from_wire<bool>("\2"), wire_error);
  EXPECT_THROW((void)from_wire<std::optional<int>>("\2abcd"), wire_error);
  EXPECT_THROW((void)from_wire<std::vector<bool>>(to_wire(std::uint64_t{1}) + "\377"), wire_error);
}

TEST(wire, refuses_what_is_nested_deeper_than_a_stack_is) {
  std::string bytes;
  for (int level = 0; level < 1'000'000; ++level) bytes += to_wire(level) + to_wire(std::uint64_t{1});
  bytes += to_wire(0) + to_wire(std::uint64_t{0});
  EXPECT_THROW((void)from_wire<tree>(bytes), wire_error);
  tree value;
  for (int level = 0; level < 499; ++level) {
    tree above;
    above.children.push_back(std::move(value));
    value = std::move(above);
  }
  EXPECT_EQ(to_wire(from_wire<tree>(to_wire(value))), to_wire(value));
  tree above;
  above.children.push_back(std::move(value));
  EXPECT_THROW((void)to_wire(above), wire_error);
}

TEST_F(isolated_test, shared_bytes_of_a_wrong_size_are_refused) {
  document d{shared_bytes(5000), false};
  std::string bytes = to_wire(d);
  const std::uint64_t wrong = 1 << 20;
  std::memcpy(bytes.data() + bytes.size() - 1 - sizeof wrong, &wrong, sizeof wrong);
  const auto there = from_wire<document>(bytes);
  EXPECT_THROW((void)there.text.bytes(), std::system_error);
}

TEST_F(isolated_test, what_is_moved_onto_itself_is_as_it_was) {
  isolated_call<obey> safely;
  const std::string pid = safely("pid", {});
  const std::array<std::string, 2> ahead{"a", "b"};
  const std::array<const std::string*, 2> items{&ahead[0], &ahead[1]};
  safely.foresee(items);
  move_onto_itself(safely);
  EXPECT_EQ(safely(ahead[0], {}), "a!");
  move_onto_itself(safely);
  EXPECT_EQ(safely(ahead[1], {}), "b!");
  EXPECT_EQ(safely("pid", {}), pid);
  process_pool<twice> pool({.workers = 2});
  move_onto_itself(pool);
  EXPECT_EQ(pool.map(std::vector<int>{1, 2, 3}), (std::vector<int>{2, 4, 6}));
  shared_bytes bytes(10);
  bytes.writable()[3] = std::byte{7};
  move_onto_itself(bytes);
  ASSERT_EQ(bytes.size(), 10u);
  EXPECT_EQ(bytes.bytes()[3], std::byte{7});
}

TEST_F(isolated_test, a_call_is_a_call) {
  isolated_call<twice> safely;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(safely(i, {}), 2 * i);
  isolated_call<turned> turning;
  EXPECT_EQ(turning({"p", {std::byte{1}, std::byte{2}}, {}, {"w"}}, {}),
            (picture{"p", {std::byte{2}, std::byte{1}}, {}, {"w"}}));
  isolated_call<nothing> does;
  does(1, {});
}

TEST_F(isolated_test, shared_bytes_are_seen_there_and_not_changed_by_mistake) {
  isolated_call<read_there> reading;
  for (const std::size_t size : {0u, 1u, 4096u, 5'000'000u}) {
    document d{shared_bytes(size + 1)};
    std::ranges::fill(d.text.writable(), std::byte{'x'});
    d.text.resize(size);
    EXPECT_EQ(reading(d, {}), std::string(size, 'x'));
    document moved{std::move(d.text)};
    EXPECT_EQ(reading(moved, {}), std::string(size, 'x'));
    // The same memory once more.
    moved.text.resize(moved.text.capacity());
    std::ranges::fill(moved.text.writable(), std::byte{'y'});
    EXPECT_EQ(reading(moved, {}), std::string(size + 1, 'y'));
  }
  document d{shared_bytes(10), true};
  EXPECT_EQ(message_of<worker_died>([&] { reading(d, {}); }).find("the worker was killed by signal 11"), 0u);
  EXPECT_EQ(d.text.bytes()[0], std::byte{0});
}

TEST_F(isolated_test, a_worker_that_comes_too_late_for_shared_bytes_says_so) {
  document gone{shared_bytes(10)};
  const std::string message = to_wire(gone);
  gone.text = {};
  EXPECT_THROW((void)from_wire<document>(message).text.bytes(), std::system_error);
}

TEST_F(isolated_test, every_way_to_die_costs_one_item_and_is_named) {
  isolated_call<obey> safely({.deadline = 200ms});
  const auto dies = [&](const std::string& word) { return message_of<worker_died>([&] { safely(word, {}); }); };
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(safely("hello", {}), "hello!");
    EXPECT_EQ(dies("crash"), "the worker was killed by signal 11 (SEGV)");
    EXPECT_EQ(safely("again", {}), "again!");
    EXPECT_EQ(dies("exit"), "the worker exited with 3");
    EXPECT_EQ(dies("hang"), "the worker was killed: its deadline of 200 ms has passed");
    EXPECT_EQ(safely("and again", {}), "and again!");
  }
}

// Whatever the function does to end more than itself, one item fails, and the reason says what it was.
TEST_F(isolated_test, a_function_that_ends_more_than_itself_costs_its_item) {
  isolated_call<obey> safely;
  std::map<std::string, std::string> ends{{"exit 0", "the worker exited with 0"},
                                          {"_exit", "the worker exited with 4"},
                                          {"quick_exit", "the worker exited with 5"},
                                          {"abort", "the worker was killed by signal 6 (ABRT)"},
                                          {"terminate", "the worker was killed by signal 6 (ABRT)"},
                                          {"pthread_exit", "the worker ended: the function ended its thread"},
                                          {"cancel", "the worker ended: the function ended its thread"},
                                          {"exec", "the worker exited with 0"},
                                          {"close all", "the worker exited with 127"},
                                          {"close all and hang", "the worker was killed: it closed its output"}};
#ifdef __SANITIZE_ADDRESS__
  ends.erase("cancel");  // the sanitizer's own look at the stack of a thread that is unwound so is an error to it
#endif
  for (const auto& [word, reason] : ends) {
    EXPECT_EQ(message_of<worker_died>([&] { safely(word, {}); }), reason) << word;
    EXPECT_EQ(safely("next", {}), "next!") << word;
  }
  for (const std::string word : {"close output", "fork and return", "fork and throw", "fork and pthread_exit"}) {
    EXPECT_EQ(safely(word, {}), word + "!");
    for (int i = 0; i < 3; ++i) EXPECT_EQ(safely(std::to_string(i), {}), std::to_string(i) + "!") << word;
  }
  // Answered, and its worker reads no more: it is replaced. (A worker of its own: a copy made by fork() above may still
  // hold the pipe.)
  isolated_call<obey> deaf;
  EXPECT_EQ(deaf("close input", {}), "close input!");
  EXPECT_EQ(deaf("next", {}), "next!");
}

TEST_F(isolated_test, a_pool_loses_only_the_values_whose_function_ends_its_thread) {
  process_pool<obey> pool({.workers = 2});
  std::vector<std::string> words;
  for (int i = 0; i < 60; ++i) words.push_back(i % 10 == 7 ? "pthread_exit" : std::to_string(i));
  const auto results = pool.try_map(words);
  for (std::size_t i = 0; i < words.size(); ++i) {
    EXPECT_EQ(results[i].has_value(), i % 10 != 7) << i;
    EXPECT_EQ(results[i] ? *results[i] : "", i % 10 == 7 ? "" : words[i] + "!");
  }
}

TEST_F(isolated_test, an_exception_comes_back_and_the_worker_stays) {
  isolated_call<obey> safely;
  const std::string pid = safely("pid", {});
  EXPECT_EQ(message_of<request_failed>([&] { safely("throw", {}); }), "I was told to");
  EXPECT_NE(message_of<request_failed>([&] { safely("throw 5", {}); }), "nothing was thrown");
  EXPECT_EQ(safely("pid", {}), pid);
}

TEST_F(isolated_test, a_worker_that_died_while_idle_is_nobodys_fault) {
  isolated_call<obey> safely;
  const pid_t pid = std::stoi(safely("pid", {}));
  ::kill(pid, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(safely("hello", {}), "hello!");
}

TEST_F(isolated_test, memory_has_a_limit) {
  if (!limits_memory) GTEST_SKIP() << "a sanitizer needs more address space than there is memory";
  isolated_call<obey> safely({.memory_bytes = std::size_t{200} << 20});
  EXPECT_EQ(message_of<request_failed>([&] { safely("memory", {}); }), "std::bad_alloc");
  EXPECT_EQ(safely("long 1000000", {}), std::string(1'000'000, 'x'));
}

TEST_F(isolated_test, printing_and_reading_do_not_disturb) {
  isolated_call<obey> safely;
  EXPECT_EQ(safely("print", {}), "print!");
  EXPECT_EQ(safely("read", {}), "-1");
  EXPECT_EQ(safely("fds", {}), "0 1 2 3 4 ");  // the three, and the two pipes
}

TEST_F(isolated_test, long_items_and_results_pass) {
  isolated_call<obey> safely;
  for (const std::size_t n : {1u, 65'530u, 65'536u, 70'000u, 5'000'000u}) {
    EXPECT_EQ(safely("long " + std::to_string(n), {}).size(), n);
    EXPECT_EQ(safely(std::string(n, 'y'), {}), std::string(n, 'y') + "!");
  }
  isolated_call<obey> narrow({.most_bytes = 100'000});
  EXPECT_EQ(message_of<worker_died>([&] { narrow("long 200000", {}); }),
            "the worker was killed: its reply is too long");
  EXPECT_EQ(narrow("x", {}), "x!");
  // Complete in one read, and one byte too long. A string is eight bytes longer on its way.
  isolated_call<obey> fits({.most_bytes = 108});
  EXPECT_EQ(fits("long 100", {}).size(), 100u);
  EXPECT_THROW(fits("long 101", {}), worker_died);
  isolated_call<obey> unlimited({.most_bytes = ~std::size_t{0}});
  EXPECT_EQ(unlimited("long 70000", {}).size(), 70'000u);
}

TEST_F(isolated_test, a_stop_ends_a_worker_that_hangs) {
  isolated_call<obey> safely;
  EXPECT_EQ(safely("x", {}), "x!");
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_THROW(safely("hang", stop.get_token()), std::runtime_error);
  EXPECT_EQ(safely("y", {}), "y!");
}

TEST_F(isolated_test, a_function_that_main_does_not_name_is_refused) {
  isolated_call<never_named> safely;
  EXPECT_EQ(message_of<worker_died>([&] { safely(1, {}); }), "the worker did not start: exited with 127");
}

// 1 of 100 of 10,000.
TEST_F(isolated_test, a_stage_whose_function_crashes_loses_those_items_only) {
  std::vector<int> items(10'000);
  for (int i = 0; i < 10'000; ++i) items[static_cast<std::size_t>(i)] = i;
  std::atomic<int> delivered = 0;
  std::atomic<long> sum = 0;
  const auto report =
      from(items) | stage("crash", isolated<crashing>(), {.workers = 2, .capacity = 256, .on_error = on_error::skip}) |
      sink("count",
           [&](int n) {
             ++delivered;
             sum += n;
           }) |
      penstock::run({.keep_failures = 1000});
  EXPECT_EQ(delivered, 9'900);
  EXPECT_EQ(sum, 10'000L * 9'999 / 2 - (100L * 37 + 100L * 99 * 100 / 2));
  EXPECT_TRUE(report.sums_meet());
  ASSERT_EQ(report.failures.size(), 100u);
  for (const failure& f : report.failures) {
    EXPECT_NE(f.reason.find("killed by signal 11"), std::string::npos) << f.reason;
    EXPECT_EQ((f.place.number - 1) % 100, 37u);
  }
}

TEST_F(isolated_test, no_item_is_worked_at_twice_or_left_out) {
  const scratch_directory here;
  std::vector<std::pair<std::string, int>> items;
  for (int i = 0; i < 1000; ++i) items.emplace_back(here / "witness", i);
  std::atomic<int> delivered = 0;
  const auto report =
      from(items) | stage("witness", isolated<witness>(), {.workers = 2, .capacity = 200, .on_error = on_error::skip}) |
      sink("count", [&](int) { ++delivered; }) | penstock::run();
  EXPECT_EQ(delivered, 800);
  EXPECT_EQ(report.failed, 200u);
  std::map<int, int> times;
  std::istringstream lines(contents(here / "witness"));
  for (int n = 0; lines >> n;) ++times[n];
  EXPECT_EQ(times.size(), 1000u);
  for (const auto& [n, count] : times) EXPECT_EQ(count, 1) << n;
}

TEST_F(isolated_test, with_retries_each_failed_one_is_tried_so_often_and_the_others_once) {
  const scratch_directory here;
  std::vector<std::pair<std::string, int>> items;
  for (int i = 0; i < 500; ++i) items.emplace_back(here / "witness", i);
  const auto report =
      from(items) |
      stage("witness", isolated<witness>(),
            {.workers = 2, .capacity = 200, .on_error = on_error::skip, .retry = {.attempts = 3, .backoff = 0ns}}) |
      sink("count", [](int) {}) | penstock::run();
  EXPECT_EQ(report.delivered, 400u);
  std::map<int, int> times;
  std::istringstream lines(contents(here / "witness"));
  for (int n = 0; lines >> n;) ++times[n];
  EXPECT_EQ(times.size(), 500u);
  for (const auto& [n, count] : times) EXPECT_EQ(count, n % 10 == 3 || n % 10 == 7 ? 3 : 1) << n;
}

TEST_F(isolated_test, what_was_sent_ahead_is_answered_in_any_case) {
  isolated_call<obey> safely;
  const std::vector<std::string> words{"a", "throw", "b", "crash", "c", "d"};
  std::vector<const std::string*> ahead;
  for (const auto& w : words) ahead.push_back(&w);
  for (int round = 0; round < 3; ++round) {
    safely.foresee(ahead);
    EXPECT_EQ(safely(words[0], {}), "a!");
    EXPECT_THROW(safely(words[1], {}), request_failed);
    if (round == 1) {  // tried again, as a stage does
      EXPECT_THROW(safely(words[1], {}), request_failed);
      EXPECT_THROW(safely(words[1], {}), request_failed);
    }
    EXPECT_EQ(safely(words[2], {}), "b!");
    EXPECT_THROW(safely(words[3], {}), worker_died);
    if (round == 2) {
      EXPECT_THROW(safely(words[3], {}), worker_died);
    }
    EXPECT_EQ(safely(words[4], {}), "c!");
    EXPECT_EQ(safely(words[5], {}), "d!");
    EXPECT_EQ(safely(words[0], {}), "a!");
  }
  safely.foresee(ahead);
  EXPECT_EQ(safely(words[0], {}), "a!");
  safely.foresee(ahead);  // the others were not asked for
  EXPECT_EQ(safely(words[0], {}), "a!");
}

TEST_F(isolated_test, a_stopped_run_ends_though_the_function_hangs) {
  std::stop_source stop;
  const std::vector<std::string> words{"x", "hang", "y"};
  std::atomic<int> through = 0;
  auto running = from(words) | stage("obey", isolated<obey>(), {.capacity = 1}) |
                 sink("see", [&](const std::string&) { ++through; }) | penstock::start({.stop = stop.get_token()});
  while (through == 0) std::this_thread::yield();
  stop.request_stop();
  const auto report = running.wait();
  EXPECT_TRUE(report.sums_meet());
  EXPECT_EQ(report.delivered, 1u);
}

TEST_F(isolated_test, a_pool_maps_in_order) {
  process_pool<twice> pool({.workers = 2});
  for (const int count : {0, 1, 2, 3, 1000}) {
    std::vector<int> items, expected;
    for (int i = 0; i < count; ++i) {
      items.push_back(i);
      expected.push_back(2 * i);
    }
    EXPECT_EQ(pool.map(items), expected);
  }
  EXPECT_EQ(pool.started(), 2u);
}

TEST_F(isolated_test, a_pool_tells_each_that_failed) {
  process_pool<obey> pool({.workers = 3, .isolation = {.deadline = 200ms}});
  std::vector<std::string> words;
  for (int i = 0; i < 60; ++i)
    words.push_back(i == 10 ? "hang" : i % 7 == 3 ? "crash" : i % 7 == 5 ? "throw" : std::to_string(i));
  const auto results = pool.try_map(words);
  ASSERT_EQ(results.size(), words.size());
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool fails = words[i] == "hang" || words[i] == "crash" || words[i] == "throw";
    ASSERT_EQ(results[i].has_value(), !fails) << i;
    const auto message = [&] { return message_of<worker_died>([&] { std::rethrow_exception(results[i].error()); }); };
    if (!fails) {
      EXPECT_EQ(*results[i], words[i] + "!");
    } else if (words[i] == "crash") {
      EXPECT_EQ(message(), "the worker was killed by signal 11 (SEGV)");
    }
  }
  EXPECT_THROW(pool.map(words), worker_died);
  EXPECT_EQ(pool.map(std::vector<std::string>{"x"}).front(), "x!");
}

TEST_F(isolated_test, a_fan_out_over_a_pool_names_the_element_that_failed) {
  process_pool<obey> pool({.workers = 2});
  EXPECT_EQ(fan_out(std::vector<std::string>{"x", "y"}, pool), (std::vector<std::string>{"x!", "y!"}));
  EXPECT_TRUE(fan_out(std::vector<std::string>{}, pool).empty());
  const std::vector<std::string> words{"a", "b", "crash", "d", "throw"};
  try {
    (void)fan_out(words, pool);
    FAIL();
  } catch (const element_error& e) {
    EXPECT_EQ(e.index(), 2u);
    EXPECT_EQ(e.label(), "crash");
    EXPECT_THROW(e.rethrow_nested(), worker_died);
  }
}

TEST_F(isolated_test, workers_are_started_from_many_threads_at_once) {
  std::atomic<int> right = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i) {
        isolated_call<twice> safely;
        right += safely(21, {}) == 42;
      }
    });
  threads.clear();
  EXPECT_EQ(right, 24);
}

// A parent that dies without a word: run as a child of this test.
TEST_F(isolated_test, a_worker_whose_parent_is_killed_ends_though_it_hangs) {
  pipe_ends witness = make_pipe();
  child parent = spawn({"/proc/self/exe", "--a-parent-whose-worker-hangs"},
                       {.out = redirect::pipe(), .err = redirect::descriptor(witness.write.get())});
  witness.write.reset();
  EXPECT_EQ(line_from(parent.out()), "hangs");
  parent.signal(SIGKILL);  // not its group: the worker leads one of its own
  EXPECT_EQ(parent.wait().signal, SIGKILL);
  EXPECT_TRUE(reaches_end(witness.read));  // the worker has its parent's standard errors, until it ends
}

}  // namespace

int a_parent_whose_worker_hangs() {
  isolated_call<obey> safely;
  safely("x", {});
  std::jthread asks([&] {
    try {
      safely("hang", {});
    } catch (...) {
    }
  });
  (void)!::write(STDOUT_FILENO, "hangs\n", 6);
  hang();
}

}  // namespace penstock::process

int main(int argc, char** argv) {
  using namespace penstock::process;
  serve_if_worker<twice, crashing, obey, witness, nothing, turned, read_there>(argc, argv);
  if (argc == 2 && std::string(argv[1]) == "--a-parent-whose-worker-hangs") return a_parent_whose_worker_hangs();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
