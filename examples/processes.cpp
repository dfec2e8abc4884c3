// Other programs: one that is run and its output taken, one that takes too long and is ended, several at the same time.
#include <chrono>
#include <cstdio>
#include <vector>

#include <penstock/process/run.hpp>

int main() {
  using namespace std::chrono_literals;
  using namespace penstock::process;

  const completed sorted = run({"sort", "-n"}, {.input = "30\n4\n1\n", .check = true});
  std::printf("sorted: %s", sorted.out.c_str());

  const completed late = run({"sleep", "1000"}, {.timeout = 100ms, .end = "TERM,2s,KILL"});
  std::printf("late: %s; as a number %d, in a shell %d\n", to_string(late.status).c_str(), late.status.number(),
              late.status.shell_number());

  try {
    run(command::shell("echo 'no such photo' >&2; exit 3"), {.err = redirect::pipe(), .check = true});
  } catch (const command_failed& e) {
    std::printf("failed with %d\n", e.result().status.code);
  }

  // Ten that sleep take as long as one.
  const auto began = std::chrono::steady_clock::now();
  std::vector<child> sleepers;
  for (int i = 0; i < 10; ++i) sleepers.push_back(spawn({"sleep", "0.5"}));
  int slept = 0;
  for (child& c : sleepers) slept += c.wait().ok();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("%d slept half a second each, in %.2f s\n", slept, took.count());
}
