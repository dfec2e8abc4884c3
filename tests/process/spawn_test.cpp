// A child starts clean, gets exactly what was said, and an error says which of the things said it was.
#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <set>
#include <sstream>
#include <thread>

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <penstock/process/worker_process.hpp>

#include "tests/process/process_testing.hpp"

namespace {
// Not zero: what starting a process fails with.
std::atomic<int> start_fails_with = 0;
}  // namespace

// In place of the C library's: starts that fail as on a machine at its limits.
extern "C" int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                           const posix_spawnattr_t* attributes, char* const words[], char* const environment[]) {
  static const auto real = reinterpret_cast<decltype(&posix_spawn)>(::dlsym(RTLD_NEXT, "posix_spawn"));
  if (const int error = start_fails_with) return error;
  return real(pid, path, actions, attributes, words, environment);
}

namespace penstock::process {
namespace {

using spawn_test = nothing_left;

// What children are limited to: 0: nothing. A limit needs another way to start them, and everything holds for both.
std::size_t limit = 0;
class every_start : public nothing_left, public ::testing::WithParamInterface<std::size_t> {
 protected:
  void SetUp() override {
    nothing_left::SetUp();
    limit = GetParam();
  }
  void TearDown() override {
    limit = 0;
    nothing_left::TearDown();
  }
};
INSTANTIATE_TEST_SUITE_P(with_and_without_a_limit, every_start, ::testing::Values(0, std::size_t{1} << 30));

std::string output_of(const command& what) { return run(what, {.check = true, .memory_bytes = limit}).out; }
child start(const command& what, spawn_options options = {}) {
  options.memory_bytes = limit;
  return spawn(what, std::move(options));
}

spawn_error failure_of(const command& what, spawn_options options = {}) {
  options.memory_bytes = limit;
  try {
    child c = spawn(what, std::move(options));
  } catch (const spawn_error& e) {
    return e;
  }
  throw std::logic_error("it was started");
}
bool names(const std::exception& e, const std::string& what) {
  return std::string(e.what()).find(what) != std::string::npos;
}

TEST_P(every_start, words_arrive_as_they_are) {
  const std::vector<std::string> words{
      "",     " ", "$(touch injected)",      "`id`", "'", "\"", "\n", "--", "-n", "*", "\\",
      "a\tb", "ü", std::string(100'000, 'x')};
  std::vector<std::string> line{"printf", "%s\\0"};
  line.insert(line.end(), words.begin(), words.end());
  std::string expected;
  for (const std::string& word : words) expected += word + '\0';
  EXPECT_EQ(output_of(command(line)), expected);
}

TEST_F(spawn_test, a_quoted_word_is_one_word_for_a_shell) {
  for (const std::string word :
       {"", " ", "$(id)", "`id`", "'", "a'b'c", "\"", "\n", "*", "\\", "#", "~", "plain-1.2", "a=b;c&"})
    EXPECT_EQ(output_of(command::shell("printf %s " + shell_quoted(word))), word) << word;
}

TEST_F(spawn_test, a_shell_gets_its_arguments_as_arguments) {
  EXPECT_EQ(output_of(command::shell("printf '%s|' \"$@\"", {"a b", "$(id)"})), "a b|$(id)|");
}

TEST_F(spawn_test, a_script_that_begins_like_an_option_is_a_script) {
  for (const char* script : {"-x", "+x", "--"})
    EXPECT_EQ(run(command::shell(script), {.err = redirect::null()}).status.code, 127) << script;
}

TEST_F(spawn_test, memory_has_a_limit_that_is_inherited) {
  const auto limit_of = [](std::size_t bytes) {
    return run(command::shell("(ulimit -v)"), {.memory_bytes = bytes}).out;
  };
  EXPECT_EQ(limit_of(std::size_t{512} << 20), "524288\n");
  EXPECT_EQ(limit_of(0), output_of(command::shell("ulimit -v")));
}

// Set on a running child it would miss what the child has started by then.
TEST_F(spawn_test, a_memory_limit_holds_before_the_first_instruction) {
  const std::size_t bytes = std::size_t{64} << 20;
  const auto grandchild = command::shell("(ulimit -v) & wait");
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(run(grandchild, {.memory_bytes = bytes}).out, "65536\n");
    ASSERT_EQ(run(command({"true"}) | grandchild, {.memory_bytes = bytes}).out, "65536\n");
    worker_process worker(command::shell("(ulimit -v) & read x; wait"), {.memory_bytes = bytes});
    ASSERT_EQ(worker.ask("go"), "65536");
  }
  // The loader itself is limited.
  EXPECT_FALSE(run({"true"}, {.err = redirect::null(), .memory_bytes = std::size_t{1} << 20}).ok());
}

TEST_F(spawn_test, a_memory_limit_is_no_way_out_of_a_stricter_one) {
  if (!limits_memory) GTEST_SKIP() << "a sanitizer needs more address space than there is memory";
  rlimit former{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &former), 0);
  const rlimit soft{rlim_t{1} << 40, former.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &soft), 0);
  EXPECT_EQ(run(command::shell("ulimit -v"), {.memory_bytes = std::size_t{1} << 30}).out, "1048576\n");
  rlimit after{};
  ::getrlimit(RLIMIT_AS, &after);
  ::setrlimit(RLIMIT_AS, &former);
  EXPECT_EQ(after.rlim_cur, soft.rlim_cur);  // ours is as it was
  EXPECT_EQ(after.rlim_max, soft.rlim_max);
}

// The limited child borrows this program's memory until it executes its own: handlers and the mask stay this program's.
TEST_F(spawn_test, a_limited_start_changes_nothing_here) {
  static std::atomic<int> heard = 0;
  const auto former = ::signal(SIGUSR1, [](int) { ++heard; });
  sigset_t before, after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  {
    std::atomic<bool> enough = false;
    std::jthread noise([&] {
      while (!enough) ::kill(::getpid(), SIGUSR1);
    });
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(run({"true"}, {.memory_bytes = std::size_t{1} << 30}).ok());
    EXPECT_THROW((void)run({"/nowhere/x"}, {.memory_bytes = std::size_t{1} << 30}), spawn_error);
    enough = true;
  }
  const int until_now = heard;
  ::raise(SIGUSR1);
  EXPECT_EQ(heard, until_now + 1);
  ::signal(SIGUSR1, former);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < NSIG; ++signal)
    EXPECT_EQ(::sigismember(&before, signal), ::sigismember(&after, signal)) << signal;
}

TEST_P(every_start, the_environment_is_ours_with_changes) {
  ::setenv("PENSTOCK_TEST_A", "kept", 1);
  ::setenv("PENSTOCK_TEST_B", "gone", 1);
  const std::string script = "printf '%s,%s,%s' \"$PENSTOCK_TEST_A\" \"${PENSTOCK_TEST_B-unset}\" \"$PENSTOCK_TEST_C\"";
  EXPECT_EQ(output_of(command::shell(script)), "kept,gone,");
  EXPECT_EQ(output_of(command::shell(script).with("PENSTOCK_TEST_C", "new=1").without("PENSTOCK_TEST_B")),
            "kept,unset,new=1");
  EXPECT_EQ(output_of(command({"/usr/bin/env"}).with_empty_environment().with("ONLY", "x").with("ONLY", "y")),
            "ONLY=y\n");
  EXPECT_EQ(output_of(command({"/usr/bin/env"}).with_empty_environment()), "");
  ::unsetenv("PENSTOCK_TEST_A");
  ::unsetenv("PENSTOCK_TEST_B");
  for (const std::string name : {"", "A=B"})
    EXPECT_THROW((void)start(command({"true"}).with(name, "1")), std::invalid_argument);
}

TEST_P(every_start, the_program_is_found_in_the_path_that_the_child_will_have) {
  const scratch_directory here;
  write_file(here / "penstock-test-tool", "#!/bin/sh\necho found", true);
  EXPECT_EQ(failure_of({"penstock-test-tool"}).code().value(), ENOENT);
  EXPECT_EQ(output_of(command({"penstock-test-tool"}).with("PATH", "/nowhere:" + here.path().string())), "found\n");
}

TEST_F(spawn_test, a_directory_of_that_name_in_the_path_is_passed_by) {
  const scratch_directory here;
  std::filesystem::create_directories(here / "a/tool");
  std::filesystem::create_directories(here / "b");
  write_file(here / "b/tool", "#!/bin/sh\necho b", true);
  EXPECT_EQ(output_of(command({"tool"}).with("PATH", (here / "a").string() + ":" + (here / "b").string())), "b\n");
  EXPECT_EQ(failure_of(command({"tool"}).with("PATH", (here / "a").string())).code().value(), EACCES);
}

TEST_P(every_start, a_relative_program_is_meant_from_here_not_from_the_childs_directory) {
  const scratch_directory here, there;
  write_file(here / "tool", "#!/bin/sh\necho here; pwd", true);
  write_file(there / "tool", "#!/bin/sh\necho there", true);
  const auto former = std::filesystem::current_path();
  std::filesystem::current_path(here.path());
  EXPECT_EQ(output_of(command({"./tool"}).in_directory(there.path())), "here\n" + there.path().string() + "\n");
  EXPECT_EQ(output_of(command({"tool"}).with("PATH", "").in_directory(there.path())),
            "here\n" + there.path().string() + "\n");
  std::filesystem::current_path(former);
}

TEST_P(every_start, an_error_says_which_part_it_was) {
  const scratch_directory here;
  write_file(here / "plain", "text");
  write_file(here / "no-format", "just text", true);
  write_file(here / "lost", "#!/nowhere/interpreter\n", true);
  const auto plain = (here / "plain").string(), nowhere = (here / "nowhere").string();
  using part = spawn_error::part;
  struct expectation {
    spawn_error error;
    part which;
    int code;
    std::string named;
  };
  std::vector<expectation> all;
  all.push_back({failure_of({"penstock-no-such-program"}), part::program, ENOENT, "penstock-no-such-program"});
  all.push_back({failure_of({nowhere}), part::program, ENOENT, nowhere});
  all.push_back({failure_of({""}), part::program, ENOENT, "''"});
  all.push_back({failure_of({here.path()}), part::program, EACCES, here.path()});
  all.push_back({failure_of({plain}), part::program, EACCES, plain});
  all.push_back({failure_of({here / "no-format"}), part::program, ENOEXEC, "no-format"});
  all.push_back({failure_of({here / "lost"}), part::program, ENOENT, "its interpreter"});
  all.push_back({failure_of(command({"true"}).in_directory(nowhere)), part::directory, ENOENT, nowhere});
  all.push_back({failure_of(command({"true"}).in_directory(plain)), part::directory, ENOTDIR, plain});
  all.push_back({failure_of({"true"}, {.in = redirect::from_file(nowhere)}), part::descriptor, ENOENT, nowhere});
  all.push_back(
      {failure_of({"true"}, {.out = redirect::to_file(nowhere + "/x")}), part::descriptor, ENOENT, "standard output"});
  all.push_back(
      {failure_of({"true"}, {.err = redirect::descriptor(9999)}), part::descriptor, EBADF, "errors, descriptor 9999"});
  all.push_back({failure_of({"true"}, {.pass = {9998}}), part::descriptor, EBADF, "descriptor 9998"});
  all.push_back({failure_of(command({"true", std::string(3'000'000, 'x')})), part::arguments, E2BIG, "arguments"});
  for (const expectation& e : all) {
    EXPECT_EQ(e.error.which(), e.which) << e.error.what();
    EXPECT_EQ(e.error.code().value(), e.code) << e.error.what();
    EXPECT_TRUE(names(e.error, e.named)) << e.error.what();
  }
}

// For every number of free descriptors: the child is started, or the error says that there are too few.
TEST_F(spawn_test, too_few_descriptors_are_a_shortage_and_no_other_kind_of_error) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "the sanitizer that comes with it looks at memory through a pipe, and takes objects for invalid without one";
#endif
  rlimit former{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &former), 0);
  using options_maker = std::function<spawn_options()>;
  const std::vector<options_maker> all{
      [] { return spawn_options{}; },
      [] { return spawn_options{.in = redirect::pipe(), .out = redirect::pipe(), .err = redirect::pipe()}; },
      [] { return spawn_options{.in = redirect::null(), .out = redirect::to_file("/dev/null")}; },
      [] {
        return spawn_options{.out = redirect::descriptor(STDERR_FILENO), .pass = {0, 1, 2}};
      },
      [] { return spawn_options{.in = redirect::pipe(), .memory_bytes = std::size_t{1} << 30}; }};
  const int first_free = ::dup(STDIN_FILENO);
  ::close(first_free);
  for (const options_maker& options : all) {
    int started = 0, refused = 0;
    for (int room = -first_free; room < 12; ++room) {
      const rlimit little{static_cast<rlim_t>(first_free + room), former.rlim_max};
      ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &little), 0);
      try {
        child c = spawn({"true"}, options());
        c.wait();
        ++started;
      } catch (const spawn_error& e) {
        ++refused;
        EXPECT_TRUE(e.is_shortage()) << room << ": " << e.what();
        EXPECT_TRUE(names(e, "true")) << e.what();
      }
      ::setrlimit(RLIMIT_NOFILE, &former);
    }
    EXPECT_GT(started, 0);
    EXPECT_GT(refused, 0);
  }
  // Those of a chain that lie between its members, too.
  for (int room = 0; room < 12; ++room) {
    const rlimit little{static_cast<rlim_t>(first_free + room), former.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &little), 0);
    try {
      chain c(command({"true"}) | command({"true"}) | command({"true"}), {.err = redirect::pipe()});
      c.wait();
    } catch (const spawn_error& e) {
      EXPECT_TRUE(e.is_shortage()) << room << ": " << e.what();
    }
    ::setrlimit(RLIMIT_NOFILE, &former);
  }
}

TEST_F(spawn_test, a_machine_that_is_short_of_something_is_told_from_a_program_that_cannot_be_started) {
  for (const int code : {EAGAIN, ENOMEM, EMFILE, ENFILE}) {
    start_fails_with = code;
    const spawn_error e = failure_of({"true"});
    EXPECT_EQ(e.code().value(), code);
    EXPECT_TRUE(e.is_shortage()) << e.what();
    EXPECT_TRUE(names(e, "true")) << e.what();
    EXPECT_TRUE(is_shortage(std::error_code(code, std::system_category())));
  }
  for (const int code : {EACCES, ENOENT, ENOEXEC, E2BIG, EPERM}) {
    start_fails_with = code;
    EXPECT_FALSE(failure_of({"true"}).is_shortage()) << code;
  }
  start_fails_with = 0;
  EXPECT_FALSE(failure_of({"penstock-no-such-program"}).is_shortage());
  EXPECT_FALSE(is_shortage({}));
}

TEST_P(every_start, a_program_that_is_still_being_written_is_told_as_such) {
  const scratch_directory here;
  std::filesystem::copy_file("/bin/true", here / "program");
  const unique_fd writer(::open((here / "program").c_str(), O_WRONLY | O_CLOEXEC));
  const spawn_error e = failure_of({here / "program"});
  EXPECT_EQ(e.code().value(), ETXTBSY);
  EXPECT_TRUE(names(e, "program")) << e.what();
}

// Each thread's children have, between their start and their program, what the others are writing open.
TEST_P(every_start, programs_that_several_threads_write_and_start_at_once) {
  const scratch_directory here;
  std::atomic<int> ended_well = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) {
          const auto program = here / (std::to_string(t) + '-' + std::to_string(i));
          std::filesystem::copy_file("/bin/true", program);
          child c = start({program});
          ended_well += c.wait().ok();
        }
      });
  }
  EXPECT_EQ(ended_well, 400);
}

TEST_F(spawn_test, what_no_program_could_mean_is_an_invalid_argument) {
  EXPECT_THROW((void)spawn(command(std::vector<std::string>{})), std::invalid_argument);
  EXPECT_THROW((void)spawn({std::string("tr\0ue", 5)}), std::invalid_argument);
  EXPECT_THROW((void)spawn(command({"true"}).in_directory(std::string("/\0x", 3))), std::invalid_argument);
  EXPECT_THROW((void)spawn({"true"}, {.in = redirect::as_out()}), std::invalid_argument);
}

TEST_F(spawn_test, a_zero_byte_is_refused_wherever_it_would_cut_a_text) {
  const scratch_directory here;
  write_file(here / "precious", "kept");
  const auto cut = [](std::string text) { return text + std::string("\0.bak", 5); };
  const std::string name = cut((here / "precious").string());
  const std::vector<std::function<void()>> starts{
      [&] { (void)spawn({cut("true")}); },
      [&] {
        (void)spawn({"true", cut("word")});
      },
      [&] {
        (void)spawn({"true", std::string(1, '\0')});
      },
      [&] { (void)spawn(command::shell(cut("true"))); },
      [&] { (void)spawn(command::shell("true", {cut("argument")})); },
      [&] { (void)spawn(command({"true"}).in_directory(cut("/"))); },
      [&] { (void)spawn(command({"true"}).with("FRUIT", cut("orange"))); },
      [&] { (void)spawn(command({"true"}).with_empty_environment().with("FRUIT", cut("orange"))); },
      [&] { (void)spawn(command({"true"}).with(cut("FRUIT"), "orange")); },
      [&] { (void)spawn(command({"true"}).without(cut("FRUIT"))); },
      [&] { (void)spawn({"true"}, {.in = redirect::from_file(name)}); },
      [&] { (void)spawn({"true"}, {.out = redirect::to_file(name)}); },
      [&] { (void)spawn({"true"}, {.err = redirect::to_file(name)}); },
      [&] { (void)spawn({"true"}, {.out = redirect::append_to(name)}); },
      [&] { (void)chain(command({"true"}) | command({"true"}), {.err = redirect::to_file(name)}); },
      [&] { (void)run({"true"}, {.out = redirect::to_file(name)}); }};
  for (std::size_t i = 0; i < starts.size(); ++i) EXPECT_THROW(starts[i](), std::invalid_argument) << i;
  EXPECT_EQ(contents(here / "precious"), "kept");
}

TEST_F(spawn_test, a_program_exists_iff_it_can_be_started) {
  const scratch_directory here;
  std::filesystem::create_directories(here / "bin/directory");
  write_file(here / "bin/plain", "#!/bin/sh\n");
  write_file(here / "bin/tool", "#!/bin/sh\n", true);
  std::filesystem::create_symlink("tool", here / "bin/link");
  std::filesystem::create_symlink("nowhere", here / "bin/dangling");
  std::filesystem::create_symlink("directory", here / "bin/link-to-directory");
  ASSERT_EQ(::mkfifo((here / "bin/fifo").c_str(), 0700), 0);
  const std::string former_path = ::getenv("PATH");
  const auto former = std::filesystem::current_path();
  std::filesystem::current_path(here.path());
  const std::string bin = (here / "bin").string();
  ::setenv("PATH", ("/nowhere:" + bin).c_str(), 1);
  std::vector<std::string> names_of_all{"",      ".",      "/", "..", "./bin", "bin/", std::string("tool\0x", 6),
                                        "tool/", "plain/x"};
  for (const char* name : {"directory", "plain", "tool", "link", "dangling", "link-to-directory", "fifo", "missing"})
    for (const std::string& before : {std::string(), std::string("bin/"), bin + "/"})
      names_of_all.push_back(before + name);
  const std::set<std::string> there{"tool", "link", "bin/tool", "bin/link", bin + "/tool", bin + "/link"};
  for (const std::string& name : names_of_all) {
    EXPECT_EQ(program_exists(name), there.count(name) == 1) << name;
    bool started = false;
    try {
      started = spawn({name}).wait().ok();
    } catch (const std::exception&) {
    }
    EXPECT_EQ(program_exists(name), started) << name;
  }
  // An empty member of PATH is the directory that this program is in.
  std::filesystem::current_path(here / "bin");
  for (const char* path : {"", ":", ":/nowhere", "/nowhere:", "/nowhere::/nowhere"}) {
    ::setenv("PATH", path, 1);
    EXPECT_TRUE(program_exists("tool")) << path;
    EXPECT_FALSE(program_exists("plain")) << path;
    EXPECT_FALSE(program_exists("directory")) << path;
  }
  ::setenv("PATH", former_path.c_str(), 1);
  std::filesystem::current_path(former);
}

TEST_F(spawn_test, a_relative_program_is_not_looked_for_in_the_childs_directory_when_ours_is_gone) {
  const scratch_directory there;
  write_file(there / "tool", "#!/bin/sh\n", true);
  const auto former = std::filesystem::current_path();
  {
    const scratch_directory gone;
    std::filesystem::current_path(gone.path());
  }
  EXPECT_EQ(failure_of(command({"./tool"}).in_directory(there.path())).code().value(), ENOENT);
  std::filesystem::current_path(former);
}

TEST_P(every_start, failing_starts_leave_nothing) {
  for (int i = 0; i < 1024; ++i) {
    EXPECT_THROW(
        (void)start({"/nowhere/program"}, {.in = redirect::pipe(), .out = redirect::pipe(), .err = redirect::pipe()}),
        spawn_error);
    EXPECT_THROW(
        (void)start(command({"true"}).in_directory("/nowhere"), {.in = redirect::pipe(), .out = redirect::null()}),
        spawn_error);
  }
}

// The line of /proc/self/status that the child itself sees, as a set of bits.
std::uint64_t signal_set(const std::string& name) {
  std::istringstream lines(output_of({"cat", "/proc/self/status"}));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + ":")) return std::stoull(line.substr(name.size() + 1), nullptr, 16);
  throw std::logic_error(name);
}
constexpr std::uint64_t bit(int signal) { return std::uint64_t{1} << (signal - 1); }

TEST_P(every_start, no_signal_is_blocked_or_ignored_but_those_that_are_meant_to_be) {
  sigset_t blocked, former;
  sigemptyset(&blocked);
  for (const int signal : {SIGTERM, SIGUSR1, SIGCHLD}) sigaddset(&blocked, signal);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &former);
  const auto pipe_before = ::signal(SIGPIPE, SIG_IGN);
  const auto hup_before = ::signal(SIGHUP, SIG_IGN);
  const auto int_before = ::signal(SIGINT, SIG_DFL);
  const std::uint64_t mask = signal_set("SigBlk"), ignored = signal_set("SigIgn");
  ::signal(SIGHUP, SIG_DFL);
  const std::uint64_t without_nohup = signal_set("SigIgn");
  ::signal(SIGPIPE, pipe_before);
  ::signal(SIGHUP, hup_before);
  ::signal(SIGINT, int_before);
  ::pthread_sigmask(SIG_SETMASK, &former, nullptr);
  EXPECT_EQ(mask, 0u);
  // 32 and 33 are the C library's own: its posix_spawn ignores them in every child.
  const std::uint64_t others = ~(bit(SIGQUIT) | bit(32) | bit(33));
  EXPECT_EQ(ignored & others, bit(SIGHUP));
  EXPECT_EQ(without_nohup & others, 0u);
}

TEST_P(every_start, no_descriptor_but_the_three_is_inherited) {
  const int open = ::open("/dev/null", O_RDONLY);  // without close-on-exec, as a careless library does
  const int high = ::fcntl(open, F_DUPFD, 500);
  // ls has its directory open as 3.
  EXPECT_EQ(output_of({"ls", "/proc/self/fd"}), "0\n1\n2\n3\n");
  ::close(open);
  ::close(high);
}

TEST_P(every_start, passed_descriptors_are_three_and_up_whatever_their_numbers_here) {
  const scratch_directory here;
  std::vector<unique_fd> files;
  for (int i = 0; i < 3; ++i)
    files.emplace_back(::open((here / std::to_string(i)).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  // Every order, so that sources and targets overlap in every way that these numbers allow.
  std::array<std::size_t, 3> order{0, 1, 2};
  do {
    std::vector<int> pass;
    std::string expected;
    for (const std::size_t i : order) {
      pass.push_back(files[i].get());
      expected += (here / std::to_string(i)).string() + "\n";
    }
    child c = start({"readlink", "/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/5"},
                    {.out = redirect::pipe(), .pass = pass});
    communication talk(c);
    talk.advance();
    EXPECT_EQ(talk.result().out, expected);
  } while (std::next_permutation(order.begin(), order.end()));
}

// This program's own three, put aside while a test plays with their numbers.
class standard_three {
 public:
  standard_three() {
    for (int i = 0; i < 3; ++i) saved_[static_cast<std::size_t>(i)].reset(::fcntl(i, F_DUPFD_CLOEXEC, 100));
  }
  ~standard_three() {
    for (int i = 0; i < 3; ++i) ::dup2(saved_[static_cast<std::size_t>(i)].get(), i);
  }
  standard_three(const standard_three&) = delete;
  standard_three& operator=(const standard_three&) = delete;

 private:
  std::array<unique_fd, 3> saved_;
};

TEST_P(every_start, the_three_are_remapped_in_every_way) {
  const scratch_directory here;
  for (int i = 0; i < 3; ++i) write_file(here / std::to_string(i), "");
  std::string wrong;
  {
    const standard_three aside;
    for (int i = 0; i < 3; ++i) {
      const int fd = ::open((here / std::to_string(i)).c_str(), O_RDWR | O_CLOEXEC);
      ::dup3(fd, i, O_CLOEXEC);  // so that one that stays where it is must be told to survive exec
      ::close(fd);
    }
    for (int map = 0; map < 27; ++map) {
      const std::array<int, 3> from{map % 3, map / 3 % 3, map / 9};
      auto status = start(command::shell("x=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo \"$x\" >\"$1\"",
                                         {here / "result"}),
                          {.in = redirect::descriptor(from[0]),
                           .out = redirect::descriptor(from[1]),
                           .err = redirect::descriptor(from[2])})
                        .wait();
      std::string expected;
      for (const int i : from) expected += (here / std::to_string(i)).string() + "\n";
      if (!status.ok() || contents(here / "result") != expected) wrong += std::to_string(map) + " ";
    }
  }
  EXPECT_EQ(wrong, "");
}

TEST_F(spawn_test, works_in_a_program_that_was_started_with_some_of_the_three_closed) {
  std::string wrong;
  for (unsigned closed = 1; closed < 8; ++closed) {
    completed done;
    std::string of_pipes;
    {
      const standard_three aside;
      for (int i = 0; i < 3; ++i)
        if (closed >> i & 1) ::close(i);
      child c = spawn({"cat"}, {.in = redirect::pipe(), .out = redirect::pipe(), .err = redirect::pipe()});
      for (const unique_fd* end : {&c.in(), &c.out(), &c.err()})
        if (end->get() < 3) of_pipes = "low";
      communication talk(c, {.input = "through"});
      talk.advance();
      done = talk.result();
      // Inherited: what is closed here is closed there.
      const auto list = run({"ls", "/proc/self/fd"}, {.in = redirect::inherit(), .err = redirect::inherit()});
      for (const int i : {0, 2})
        if ((list.out.find(std::to_string(i) + "\n") == std::string::npos) != (closed >> i & 1) && !(closed & 5))
          of_pipes = "inherited";
    }
    if (done.out != "through" || !done.ok() || !of_pipes.empty()) wrong += std::to_string(closed) + of_pipes + " ";
  }
  EXPECT_EQ(wrong, "");
}

TEST_F(spawn_test, the_childs_ends_block_and_ours_is_the_only_other_one) {
  // A child that finds O_NONBLOCK on its descriptors fails in the middle of a long write.
  const auto done = run(command::shell("grep flags /proc/self/fdinfo/0; grep flags /proc/$$/fdinfo/1"), {.input = "x"});
  std::istringstream lines(done.out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count)
    EXPECT_EQ(std::stol(line.substr(line.find(':') + 1), nullptr, 8) & O_NONBLOCK, 0) << line;
  EXPECT_EQ(count, 2);
}

TEST_F(spawn_test, files_are_read_made_emptied_and_appended_to) {
  const scratch_directory here;
  write_file(here / "in", "from a file");
  write_file(here / "out", "what was there before, and longer");
  EXPECT_TRUE(
      spawn({"cat"}, {.in = redirect::from_file(here / "in"), .out = redirect::to_file(here / "out")}).wait().ok());
  EXPECT_EQ(contents(here / "out"), "from a file");
  EXPECT_TRUE(spawn({"echo", "!"}, {.out = redirect::append_to(here / "out")}).wait().ok());
  EXPECT_EQ(contents(here / "out"), "from a file!\n");
  EXPECT_TRUE(spawn(command::shell("echo out; echo err >&2"),
                    {.out = redirect::to_file(here / "both"), .err = redirect::as_out()})
                  .wait()
                  .ok());
  EXPECT_EQ(contents(here / "both"), "out\nerr\n");
  EXPECT_EQ(run({"cat"}, {.in = redirect::null()}).out, "");
}

TEST_P(every_start, a_child_reads_from_another_and_writes_to_another) {
  child first = start({"printf", "b\\na\\n"}, {.out = redirect::pipe()});
  child last = start({"sort"}, {.in = redirect::pipe(), .out = redirect::pipe()});
  child between = start({"cat"}, {.in = redirect::from(first), .out = redirect::to(last)});
  EXPECT_FALSE(first.out());
  EXPECT_THROW((void)redirect::from(first), std::logic_error);
  EXPECT_EQ(line_from(last.out()), "a");
  EXPECT_EQ(line_from(last.out()), "b");
  EXPECT_TRUE(first.wait().ok() && between.wait().ok() && last.wait().ok());
}

TEST_P(every_start, a_child_leads_a_group_or_stays_in_ours) {
  child own = start({"cat"}, {.in = redirect::pipe()});
  EXPECT_EQ(::getpgid(own.pid()), own.pid());
  child joined = start({"cat"}, {.in = redirect::pipe(), .group = own.pid()});
  EXPECT_EQ(::getpgid(joined.pid()), own.pid());
  child ours = start({"cat"}, {.in = redirect::pipe(), .group = 0});
  EXPECT_EQ(::getpgid(ours.pid()), ::getpgrp());
  EXPECT_TRUE(ours.signal_group(SIGKILL));  // to it alone: we live
  EXPECT_EQ(ours.wait().signal, SIGKILL);
}

TEST_P(every_start, sixteen_threads_start_children_and_none_has_anothers_descriptors) {
  std::atomic<int> right = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 16; ++t)
    threads.emplace_back([&right, t] {
      for (int i = 0; i < 20; ++i) {
        // cat ends only if nobody else holds the writing end of its input.
        const std::string text = std::to_string(t) + ":" + std::to_string(i);
        const auto done = run({"cat"}, {.input = text, .memory_bytes = limit});
        if (done.ok() && done.out == text) ++right;
      }
    });
  threads.clear();
  EXPECT_EQ(right, 320);
}

}  // namespace
}  // namespace penstock::process
