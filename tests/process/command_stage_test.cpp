// Other programs as stages: an outcome for each item, a failure for each that has one, and nothing left of either.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <map>
#include <mutex>
#include <thread>

#include <penstock/penstock.hpp>
#include <penstock/process/command_stage.hpp>
#include <penstock/process/descriptors.hpp>

#include "tests/process/process_testing.hpp"

namespace penstock::process {
namespace {

using namespace std::chrono_literals;
using command_stage_test = nothing_left;

// What a run put out, whoever was first.
template <class T>
class basket {
 public:
  void put(T value) {
    const std::scoped_lock lock(mutex_);
    values_.push_back(std::move(value));
  }
  std::vector<T> sorted() {
    std::ranges::sort(values_);
    return values_;
  }

 private:
  std::mutex mutex_;
  std::vector<T> values_;
};

std::vector<std::string> numbers(int count) {
  std::vector<std::string> made;
  for (int i = 0; i < count; ++i) made.push_back(std::to_string(i));
  return made;
}
// label: reason, of the failed ones.
std::map<std::string, std::string> reasons(const report& r) {
  std::map<std::string, std::string> made;
  for (const failure& f : r.failures) made[f.place.label] = f.reason;
  return made;
}

TEST_F(command_stage_test, each_item_has_a_command_of_its_own_and_its_outcome) {
  basket<std::string> out;
  const auto report = from(numbers(40)) |
                      stage("say", command_per_item([](const std::string& n) {
                              return command({"printf", "%s%s", n, n});
                            }),
                            {.workers = 3}) |
                      sink("keep", [&](completed& done) { out.put(std::move(done.out)); }) | penstock::run();
  EXPECT_EQ(report.delivered, 40u);
  std::vector<std::string> expected;
  for (const auto& n : numbers(40)) expected.push_back(n + n);
  std::ranges::sort(expected);
  EXPECT_EQ(out.sorted(), expected);
}

TEST_F(command_stage_test, a_row_and_an_input_and_what_is_made_of_the_outcome) {
  basket<std::pair<std::string, std::string>> out;
  const auto sorted = [](const std::string& words) {
    return fed_command(command({"tr", " ", "\\n"}) | command({"sort"}), words);
  };
  const auto report =
      from(std::vector<std::string>{"b a", "d c"}) |
      stage("sort",
            command_per_item(sorted, [](std::string& words,
                                        completed done) { return std::pair(std::move(words), std::move(done.out)); }),
            {.workers = 2}) |
      sink("keep", [&](std::pair<std::string, std::string>& p) { out.put(std::move(p)); }) | penstock::run();
  EXPECT_TRUE(report.sums_meet());
  EXPECT_EQ(out.sorted(), (std::vector<std::pair<std::string, std::string>>{{"b a", "a\nb\n"}, {"d c", "c\nd\n"}}));
}

TEST_F(command_stage_test, every_way_to_fail_costs_one_item_and_is_told_with_it) {
  const std::map<std::string, std::string> scripts{
      {"good", "echo fine"},
      {"bad", "echo why >&2; exit 3"},
      {"crash", "kill -SEGV $$"},
      {"hang", "while :; do sleep 1000; done"},
      {"talk", "while :; do echo and on; done"},
      {"memory", "exec dd if=/dev/zero of=/dev/null bs=1000M count=1"},
  };
  std::vector<std::string> items;
  for (const auto& [name, script] : scripts) items.push_back(name);
  basket<std::string> out;
  // Each reads first, so that its memory is limited before it needs any.
  const auto make = [&](const std::string& name) {
    return fed_command(command::shell("read x; " + scripts.at(name)), "\n");
  };
  const auto report =
      from(items) |
      stage("work",
            command_per_item(
                make, {.timeout = 300ms, .end = "KILL", .most_bytes = 100'000, .memory_bytes = std::size_t{500} << 20}),
            {.workers = 2, .on_error = on_error::skip}) |
      sink("keep", [&](completed& done) { out.put(std::move(done.out)); }) | penstock::run();
  EXPECT_EQ(out.sorted(), std::vector<std::string>{"fine\n"});
  EXPECT_TRUE(report.sums_meet());
  auto why = reasons(report);
  EXPECT_EQ(why.size(), 5u);
  const auto tells = [&](const std::string& name, const std::string& what) {
    EXPECT_NE(why[name].find(what), std::string::npos) << name << ": " << why[name];
  };
  tells("bad", "exited with 3: why");
  tells("crash", "killed by signal 11 (SEGV)");
  tells("hang", "killed by signal 9 (KILL), because its time was over");
  tells("talk", "a child's output is longer than 100000 bytes");
  tells("memory", "exited with 1");
}

TEST_F(command_stage_test, unchecked_outcomes_are_results) {
  basket<int> codes;
  const auto report =
      from(numbers(6)) |
      stage("exit",
            command_per_item([](const std::string& n) { return command::shell("exit " + n); }, {.check = false}),
            {.workers = 2}) |
      sink("keep", [&](completed& done) { codes.put(done.status.number()); }) | penstock::run();
  EXPECT_EQ(report.delivered, 6u);
  EXPECT_EQ(codes.sorted(), (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST_F(command_stage_test, a_failed_command_is_tried_again) {
  const scratch_directory here;
  const auto make = [&](const std::string& n) {
    return command::shell(R"(echo x >>"$1"; [ $(wc -l <"$1") -ge 3 ])", {here / n});
  };
  const auto report = from(numbers(4)) |
                      stage("third time", command_per_item(make, [](std::string& n, const completed&) { return n; }),
                            {.workers = 2, .retry = {.attempts = 3, .backoff = 0ns}}) |
                      sink("keep", [](const std::string&) {}) | penstock::run();
  EXPECT_EQ(report.delivered, 4u);
  std::uint64_t retried = 0;
  for (const auto& s : report.stages) retried += s.retried;
  EXPECT_EQ(retried, 8u);
}

TEST_F(command_stage_test, a_stop_reaches_the_children_and_the_items_are_handed_back) {
  for (const bool check : {true, false}) {
    const scratch_directory here;
    std::stop_source stop;
    const auto make = [&](const std::string& n) { return command::shell(R"(: >"$1"; exec sleep 1000)", {here / n}); };
    auto running = from(numbers(5)) |
                   stage("sleep", command_per_item(make, {.check = check}), {.workers = 2, .capacity = 1}) |
                   sink("keep", [](completed&) {}) | penstock::start({.stop = stop.get_token()});
    const auto started = [&] {
      return std::distance(std::filesystem::directory_iterator(here.path()), std::filesystem::directory_iterator());
    };
    while (started() < 2) std::this_thread::yield();
    stop.request_stop();
    const auto report = running.wait();
    EXPECT_EQ(report.outcome, outcome::cancelled);
    EXPECT_EQ(report.delivered, 0u);
    EXPECT_EQ(report.failed, 0u);
    EXPECT_TRUE(report.sums_meet());
    EXPECT_GE(report.unfinished.size(), 2u);
  }
}

TEST_F(command_stage_test, a_stage_timeout_reaches_the_child) {
  const auto report = from(numbers(2)) |
                      stage("sleep",
                            command_per_item(
                                [](const std::string&) {
                                  return command({"sleep", "1000"});
                                },
                                {.check = false}),
                            {.workers = 2, .on_error = on_error::skip, .timeout = 20ms}) |
                      sink("keep", [](completed&) {}) | penstock::run();
  EXPECT_EQ(report.failed, 2u);
  EXPECT_NE(reasons(report)["0"].find("timeout of 20 ms"), std::string::npos) << reasons(report)["0"];
}

// --- persistent workers ---

// Doubles numbers; some words are orders.
command doubling() {
  return command::shell(R"(while read -r x; do case $x in
      crash) kill -SEGV $$ ;;
      exit) exit 7 ;;
      hang) while :; do sleep 1000; done ;;
      twice) printf 'one\ntwo\n' ;;
      pid) echo $$ ;;
      *) echo $((2 * x)) ;;
    esac; done)");
}

TEST_F(command_stage_test, a_persistent_worker_takes_a_line_and_gives_a_line) {
  const scratch_directory here;
  basket<int> out;
  const auto counted =
      command::shell(R"(echo started >>"$1"; while read -r x; do echo $((2 * x)); done)", {here / "n"});
  const auto report = from(numbers(500)) | stage("double", persistent_worker(counted), {.workers = 2}) |
                      sink("keep", [&](const std::string& n) { out.put(std::stoi(n)); }) | penstock::run();
  EXPECT_EQ(report.delivered, 500u);
  std::vector<int> expected(500);
  for (int i = 0; i < 500; ++i) expected[static_cast<std::size_t>(i)] = 2 * i;
  EXPECT_EQ(out.sorted(), expected);
  const auto starts = contents(here / "n").size() / std::string("started\n").size();
  EXPECT_GE(starts, 1u);
  EXPECT_LE(starts, 2u);
}

TEST_F(command_stage_test, a_worker_that_dies_or_hangs_costs_one_item_and_is_replaced) {
  std::vector<std::string> items = numbers(100);
  items.insert(items.begin() + 10, "crash");
  items.insert(items.begin() + 40, "hang");
  items.insert(items.begin() + 70, "exit");
  items.push_back("a line\nand another");
  const auto report =
      from(items) |
      stage("double", persistent_worker(doubling(), {.deadline = 200ms}), {.workers = 2, .on_error = on_error::skip}) |
      sink("keep", [](const std::string&) {}) | penstock::run();
  EXPECT_EQ(report.delivered, 100u);
  auto why = reasons(report);
  EXPECT_EQ(why.size(), 4u);
  EXPECT_EQ(why["crash"], "the worker was killed by signal 11 (SEGV)");
  EXPECT_EQ(why["hang"], "the worker was killed: its deadline of 200 ms has passed");
  EXPECT_EQ(why["exit"], "the worker exited with 7");
}

TEST_F(command_stage_test, what_goes_in_and_what_comes_out_is_made_by_functions) {
  struct order {
    std::string name;
    int count;
  };
  basket<std::pair<std::string, int>> out;
  const auto report =
      from(std::vector<order>{{"a", 1}, {"b", 20}}) |
      stage("double",
            persistent_worker(
                doubling(), [](const order& o) { return std::to_string(o.count); },
                [](order& o, const std::string& reply) { return std::pair(std::move(o.name), std::stoi(reply)); })) |
      sink("keep", [&](std::pair<std::string, int>& p) { out.put(std::move(p)); }) | penstock::run();
  EXPECT_TRUE(report.sums_meet());
  EXPECT_EQ(out.sorted(), (std::vector<std::pair<std::string, int>>{{"a", 2}, {"b", 40}}));
}

TEST_F(command_stage_test, a_stopped_run_ends_though_the_worker_hangs) {
  std::stop_source stop;
  std::atomic<int> through = 0;
  auto running = from(std::vector<std::string>{"1", "hang", "2"}) |
                 stage("double", persistent_worker(doubling()), {.capacity = 1}) |
                 sink("keep", [&](const std::string&) { ++through; }) | penstock::start({.stop = stop.get_token()});
  while (through == 0) std::this_thread::yield();
  stop.request_stop();
  const auto report = running.wait();
  EXPECT_TRUE(report.sums_meet());
  EXPECT_EQ(report.delivered, 1u);
  EXPECT_EQ(report.failed, 0u);
}

TEST_F(command_stage_test, length_prefixed_messages_may_have_any_bytes) {
  // cat gives back the very frames that it gets.
  worker_process echo({"cat"}, {.framing = framing::lengths});
  for (const std::string& bytes : {std::string(), std::string("a\nb\0c", 5), std::string(300'000, 'x')})
    EXPECT_EQ(echo.ask(bytes), bytes);
  EXPECT_EQ(echo.started(), 1u);
}

TEST_F(command_stage_test, a_worker_that_says_too_much_is_out_of_step_and_said_to_be) {
  const auto heard_of = [](worker_process& worker, const char* request) {
    try {
      return worker.ask(request);
    } catch (const worker_died& e) {
      return std::string(e.what());
    }
  };
  const std::string out_of_step = "the worker was killed: it said something before it was asked";
  worker_process worker(doubling());
  EXPECT_EQ(worker.ask("1"), "2");
  EXPECT_TRUE(worker.in_step());
  EXPECT_EQ(worker.ask("twice"), "one");
  EXPECT_FALSE(worker.in_step());
  EXPECT_EQ(heard_of(worker, "5"), out_of_step);
  EXPECT_TRUE(worker.in_step());  // there is none
  EXPECT_EQ(worker.ask("5"), "10");
  worker_process early(command::shell("echo early; exec sleep 1000"), {.farewell = std::chrono::seconds(0)});
  EXPECT_EQ(early.ask("a"), "early");
  EXPECT_FALSE(early.in_step());  // it has not even read it
  worker_process greeting(command::shell("echo welcome; exec cat"));
  EXPECT_EQ(greeting.ask("a"), "welcome");  // nobody can tell it from a reply, but it does not last
  for (std::string heard; heard != out_of_step;) heard = heard_of(greeting, "b");
}

TEST_F(command_stage_test, a_worker_that_cannot_be_started_costs_the_item_and_leaves_nothing_of_it) {
  const scratch_directory here;
  worker_process worker({here / "later"});
  EXPECT_THROW(worker.ask("a"), spawn_error);
  EXPECT_THROW(worker.ask("b"), spawn_error);
  write_file(here / "later", "#!/bin/sh\nexec cat", true);
  EXPECT_EQ(worker.ask("c"), "c");
}

// Whether it comes at once or in parts, and whether more follows or not.
TEST_F(command_stage_test, a_reply_longer_than_the_limit_is_refused_though_it_is_complete) {
  const auto answer_of = [](framing how, std::size_t bytes, std::size_t most, bool in_parts) -> std::size_t {
    std::string script = "read x; ";
    if (how == framing::lengths) {
      std::string length;
      for (std::size_t i = 0; i < 4; ++i) {
        constexpr char digits[] = "01234567";
        const auto byte = static_cast<unsigned char>(bytes >> (8 * i));
        length += std::string("\\") + digits[byte >> 6] + digits[byte >> 3 & 7] + digits[byte & 7];
      }
      script += "printf '" + length + "'; ";
    }
    const std::size_t first = in_parts ? bytes / 2 : bytes;
    if (in_parts) script += "printf '%0" + std::to_string(first) + "d' 0; ";
    script += "printf '%0" + std::to_string(in_parts ? bytes - first : bytes) + "d" +
              std::string(how == framing::lines ? "\\n" : "") + "' 0; read x";
    worker_process worker(command::shell(script), {.framing = how, .most_bytes = most});
    return worker.ask(how == framing::lines ? "go" : "go\n").length();
  };
  for (const framing how : {framing::lines, framing::lengths})
    for (const bool in_parts : {false, true}) {
      for (const std::size_t most : {std::size_t{10}, std::size_t{11}, std::size_t{1} << 30, ~std::size_t{0}})
        EXPECT_EQ(answer_of(how, 10, most, in_parts), 10u) << most;
      for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{9}})
        EXPECT_THROW((void)answer_of(how, 10, most, in_parts), worker_died) << most;
      EXPECT_EQ(answer_of(how, 1000, 1000, in_parts), 1000u);
      EXPECT_THROW((void)answer_of(how, 1000, 999, in_parts), worker_died);
    }
}

// Without a deadline, too: nothing that it does can be waited for.
TEST_F(command_stage_test, a_worker_that_closes_its_input_or_output_costs_one_item) {
  const auto reason = [](const std::string& script) {
    worker_process worker(command::shell(script));
    EXPECT_EQ(worker.ask("a"), "a");
    try {
      (void)worker.ask("b");
    } catch (const worker_died& e) {
      EXPECT_EQ(worker.ask("c"), "c");
      return std::string(e.what());
    }
    return std::string("it answered");
  };
  const std::string answers = "read x; echo $x; ";
  EXPECT_EQ(reason(answers + "read x; exec >&-; sleep 1000"), "the worker was killed: it closed its output");
  EXPECT_EQ(reason(answers + "read x; exec >&-; exit 3"), "the worker exited with 3");
  worker_process deaf(command::shell("exec <&-; sleep 1000"));
  try {
    (void)deaf.ask("a");
    ADD_FAILURE() << "it answered";
  } catch (const worker_died& e) {
    EXPECT_STREQ(e.what(), "the worker was killed: it closed its input");
  }
  // One that has answered all that it was sent is replaced, and costs nothing.
  worker_process once(command::shell("read x; exec <&-; echo $x; sleep 1000"));
  for (const std::string word : {"a", "b", "c"}) EXPECT_EQ(once.ask(word), word);
  EXPECT_EQ(once.started(), 3u);
}

TEST_F(command_stage_test, a_worker_that_keeps_its_answers_in_a_buffer_is_told_from_a_slow_one) {
  const auto reason = [](command what, std::chrono::milliseconds deadline) {
    worker_process worker(std::move(what), {.deadline = deadline});
    try {
      return *worker.ask("a", wait_limit{});
    } catch (const worker_died& e) {
      EXPECT_TRUE(e.deadline_passed());
      return std::string(e.what());
    }
  };
  // On a busy machine it may not have come to read its line yet: then it has more time.
  std::string buffered;
  for (auto deadline = 100ms; buffered.find("it has read the line and not answered") == buffered.npos; deadline *= 2)
    buffered = reason({"sed", "s/^/x/"}, deadline);
  EXPECT_NE(buffered.find("stdbuf -oL"), std::string::npos);
  EXPECT_EQ(reason({"sleep", "1000"}, 10ms), "the worker was killed: its deadline of 10 ms has passed");
  EXPECT_EQ(reason({"sed", "-u", "s/^/x/"}, 1h), "xa");
}

TEST_F(command_stage_test, a_worker_that_is_moved_onto_itself_goes_on) {
  worker_process worker(command::shell("while read x; do echo \"$x!\"; done"));
  EXPECT_EQ(worker.ask("a"), "a!");
  const pid_t pid = worker.pid();
  worker.submit("b");
  worker.submit("c");
  worker.exchange();
  move_onto_itself(worker);
  EXPECT_EQ(worker.pid(), pid);
  for (const std::string expected : {"b!", "c!"}) {
    ASSERT_TRUE(worker.wait_for_reply());
    EXPECT_EQ(worker.next().bytes, expected);
  }
  EXPECT_EQ(worker.started(), 1u);
}

TEST_F(command_stage_test, a_worker_at_the_end_may_put_its_things_away) {
  const scratch_directory here;
  {
    worker_process worker(command::shell(R"(while read -r x; do echo "$x"; done; echo away >"$1")", {here / "things"}),
                          {.farewell = 1h});
    EXPECT_EQ(worker.ask("a"), "a");
  }
  EXPECT_EQ(contents(here / "things"), "away\n");
  worker_process deaf(command::shell("read -r x; echo $x; exec sleep 1000"), {.farewell = 1ms});
  EXPECT_EQ(deaf.ask("a"), "a");
}

TEST_F(command_stage_test, what_a_worker_started_goes_with_it) {
  // It holds the errors: who reads them hears the end when nobody is left.
  pipe_ends witness = make_pipe();
  worker_process worker(
      command::shell(R"(sleep 1000 2>"$1" & read -r x; exit 4)",
                     {"/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(witness.write.get())}));
  worker.submit("go");
  EXPECT_TRUE(worker.wait_for_reply());
  EXPECT_TRUE(worker.next().error);
  witness.write.reset();
  EXPECT_TRUE(reaches_end(witness.read));
}

TEST_F(command_stage_test, how_a_worker_ended_is_told_though_its_output_ended_first) {
  worker_process worker(
      command::shell("read -r x; exec >&-; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 4"));
  worker.submit("go");
  EXPECT_TRUE(worker.wait_for_reply());
  try {
    std::rethrow_exception(worker.next().error);
  } catch (const worker_died& e) {
    EXPECT_STREQ(e.what(), "the worker exited with 4");
  }
}

TEST_F(command_stage_test, the_memory_of_a_worker_has_a_limit) {
  worker_process worker(command::shell("read -r x; exec dd if=/dev/zero of=/dev/null bs=1000M count=1"),
                        {.memory_bytes = std::size_t{500} << 20});
  try {
    worker.ask("go");
    FAIL();
  } catch (const worker_died& e) {
    EXPECT_EQ(e.status().number(), 1);
  }
}

}  // namespace
}  // namespace penstock::process
