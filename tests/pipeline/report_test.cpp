// What a report says to people and to programs.
#include <sstream>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

report three_stages(double source_blocked, double a, double b, double processor) {
  report r;
  r.outcome = outcome::completed;
  r.wall = 10s;
  r.entered = r.delivered = 100;
  r.stages = {
      stage_report{.name = "source",
                   .workers = 1,
                   .in = 100,
                   .passed = 100,
                   .out = 100,
                   .busy = 1 - source_blocked,
                   .blocked = source_blocked},
      stage_report{.name = "a",
                   .workers = 2,
                   .in = 100,
                   .passed = 100,
                   .out = 100,
                   .busy = a,
                   .starved = 1 - a,
                   .processor = processor},
      stage_report{.name = "b", .workers = 1, .in = 100, .passed = 100, .busy = b, .starved = 1 - b, .processor = .1}};
  return r;
}

TEST(report, names_the_stage_that_sets_the_pace_and_what_would_relieve_it) {
  const auto r = three_stages(.7, .2, .97, 1);
  EXPECT_EQ(r.bottleneck(), 2u);
  EXPECT_EQ(r.bottleneck_sentence(),
            "\"b\" is the bottleneck: its 1 worker is 97 % busy; it mostly waits for something outside: more workers "
            "than 1 would raise "
            "the rate until \"a\" (20 % busy) is full.");
}

TEST(report, says_so_when_the_processors_are_full) {
  auto r = three_stages(.7, .99, .1, 1);
  r.stages[1].workers = std::thread::hardware_concurrency();
  EXPECT_NE(r.bottleneck_sentence().find("the processors are full"), std::string::npos) << r.bottleneck_sentence();
  EXPECT_NE(r.bottleneck_sentence().find("the source waits for it 70 %"), std::string::npos);
}

TEST(report, says_so_when_coroutines_compute) {
  auto r = three_stages(.7, .97, .2, 1);
  r.stages[1].workers = 1;
  r.stages[1].in_flight = 1000;
  r.stages[1].thread = .96;
  r.stages[1].processor = .8;  // of the two processors or more that the tests run on one is free
  EXPECT_EQ(
      r.bottleneck_sentence(),
      "\"a\" is the bottleneck: its 1000 in flight are 97 % busy, and the source waits for it 70 % of the time; it "
      "computes, all on one thread, and processors are free: a stage of threads would raise the rate until \"b\" (20 "
      "% busy) is full.");
}

TEST(report, says_so_when_coroutines_hold_up_their_thread) {
  auto r = three_stages(.7, .97, .2, 0);
  r.stages[1].in_flight = 1000;
  r.stages[1].thread = .3;
  EXPECT_NE(r.bottleneck_sentence().find("more than 1000 in flight would raise the rate"), std::string::npos);
  r.stages[1].thread = .95;
  EXPECT_NE(r.bottleneck_sentence().find("its one thread waits in the function: a stage of threads, or on() a pool"),
            std::string::npos)
      << r.bottleneck_sentence();
}

TEST(report, says_so_when_the_time_goes_into_retries) {
  auto r = three_stages(.7, .1, .2, 0);
  r.stages[1].paused = .8;
  const auto advice = [&r](const char* more) {
    return std::string(
               "wait 80 % of the time for the next attempt, and the source waits for it 70 % of the time; fewer ") +
           "failures, " + more + " or a shorter backoff would raise the rate.";
  };
  EXPECT_EQ(r.bottleneck_sentence(), "\"a\" is the bottleneck: its 2 workers " + advice("more workers"));
  r.stages[1].in_flight = 7;
  EXPECT_EQ(r.bottleneck_sentence(), "\"a\" is the bottleneck: its 7 in flight " + advice("more in flight"));
}

TEST(report, knows_when_it_is_the_source) {
  const auto r = three_stages(0, .3, .2, 1);
  EXPECT_EQ(r.bottleneck(), 0u);
  EXPECT_TRUE(r.bottleneck_sentence().starts_with("The source sets the pace: no stage is more than 30 % busy"));
}

TEST(report, knows_when_handing_over_costs_more_than_the_work) {
  const auto r = three_stages(.9, .2, .1, 1);
  EXPECT_EQ(r.bottleneck(), report::npos);
  EXPECT_NE(r.bottleneck_sentence().find("handing items over"), std::string::npos);
}

TEST(report, an_empty_run_has_no_bottleneck) {
  EXPECT_EQ(report{}.bottleneck_sentence(), "No bottleneck to name: nothing went through.");
}

TEST(report, prints_the_sums_in_words) {
  auto r = three_stages(.7, .9, .1, 1);
  r.delivered = 97;
  r.failed = 3;
  std::ostringstream out;
  out << r;
  EXPECT_NE(out.str().find("completed in 10.0 s: 100 entered = 97 delivered + 3 failed (9.7/s)"), std::string::npos)
      << out.str();
}

TEST(report, json_escapes_what_users_name) {
  report r = three_stages(.7, .9, .1, 1);
  r.stages[1].name = "a \"quoted\"\n\x01 name";
  r.failures.push_back({{"s", 1, "caf\xC3\xA9 \xFF.jpg", 1}, "no", nullptr});
  const std::string json = to_json(r);
  EXPECT_NE(json.find(R"("name":"a \"quoted\"\u000a\u0001 name")"), std::string::npos) << json;
  EXPECT_NE(json.find("caf\xC3\xA9 \xEF\xBF\xBD.jpg"), std::string::npos)
      << "a byte that is not UTF-8 must not make the JSON invalid";
}

TEST(report, who_left_work_that_others_have_done_since_was_not_missed) {
  worker w;
  w.begin(1000, true);
  w.wait_ends(2000);
  w.wait_begins(wait_kind::unmanned, 3000);
  EXPECT_EQ(w.spent(5000, 0).unmanned, 2000u);
  EXPECT_EQ(w.spent(5000, 2500).unmanned, 2000u) << "it ran dry before that";
  EXPECT_EQ(w.spent(5000, 3500).unmanned, 500u);
  EXPECT_EQ(w.spent(5000, 3500).starved, 2500u);
  w.end(6000, 3500);
  EXPECT_EQ(w.spent(9000, 3500).starved, 3500u);
  EXPECT_EQ(w.spent(9000, 0).life, 5000u);
}

TEST(report, durations_are_told_in_the_unit_that_fits) {
  EXPECT_EQ(duration_text(0ns), "0 ns");
  EXPECT_EQ(duration_text(999ns), "999 ns");
  EXPECT_EQ(duration_text(1500ns), "1.5 µs");
  EXPECT_EQ(duration_text(12345us), "12 ms");
  EXPECT_EQ(duration_text(59s), "59.0 s");
  EXPECT_EQ(duration_text(250s), "4 min 10 s");
  EXPECT_EQ(duration_text(7300s), "2 h 1 min");
}

}  // namespace
}  // namespace penstock
