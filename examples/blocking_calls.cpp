// A helicopter asks five radios for its orders; each call blocks for a tenth of a second. One after the other they take half a second, in
// which the helicopter falls from the sky. On five threads they take as long as one, and meanwhile main() flies.
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include <penstock/penstock.hpp>
#include <poll.h>

// A call that keeps its thread waiting, as reading from a slow device does. No processor works for it.
int ask_radio(int radio) {
  if (::poll(nullptr, 0, 100) != 0) throw std::runtime_error("the radio is broken");
  return radio * 10;
}

// One step of the flight: where the rotor's lift brings the machine that wants to be at 100 m.
struct helicopter {
  double height = 80, speed = 0;  // m, m/s
  void fly(double seconds) {
    const double lift = 9.81 + (100 - height) * 0.5 - speed;
    speed += (lift - 9.81) * seconds;
    height += speed * seconds;
  }
};

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

int main() {
  const std::vector<int> radios{1, 2, 3, 4, 5};

  auto began = std::chrono::steady_clock::now();
  for (const int radio : radios) (void)ask_radio(radio);
  std::printf("one after the other: %.2f s\n", seconds_since(began));

  began = std::chrono::steady_clock::now();
  int orders = 0;
  auto calls = penstock::from(radios)
             | penstock::stage("radio",  ask_radio, {.workers = 5})
             | penstock::sink ("orders", [&](int) { ++orders; })
             | penstock::start();  // in the background
  helicopter h;
  for (int second = 1; second <= 5; ++second) {
    h.fly(1);
    std::printf("after %d s at %.1f m\n", second, h.height);
  }
  (void)calls.wait();  // would throw what a call has thrown, with the radio's number
  std::printf("%d orders while it flew: %.2f s\n", orders, seconds_since(began));
}
