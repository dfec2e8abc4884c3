// Failures by policy: retried, then dead-lettered with the item and its cause; or the end of the run, with everything handed back.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include <penstock/penstock.hpp>

int main() {
  using namespace std::chrono_literals;
  std::vector<int> orders;
  for (int i = 1; i <= 100; ++i) orders.push_back(i);
  const auto ship = [](const int& order) {
    if (order % 40 == 0) throw std::runtime_error("address unknown");
  };

  std::vector<std::string> letters;
  (void)(penstock::from(orders)
       | penstock::sink("ship", ship, {.retry = {.attempts = 3, .backoff = 1ms},
                                       .dead_letter = [&](penstock::unfinished_item&& letter) {
                                         letters.push_back("order " + std::to_string(*letter.item.get<int>()) + " after " +
                                                           std::to_string(letter.place.attempt) + " attempts");
                                       }})
       | penstock::run());
  for (const auto& text : letters) std::printf("dead letter: %s\n", text.c_str());

  try {
    (void)(penstock::from(orders) | penstock::sink("ship", ship) | penstock::run());
  } catch (const penstock::run_error& e) {
    std::printf("%s\n", e.what());
    std::printf("%s\n", e.report().sums_meet() ? "every order is accounted for" : "?");
  }
}
