// The counter that is wrong: five sensors, each with its own thread, one ++. It reads, adds and writes, and what another thread wrote in
// between is lost; often it comes out right, which is worse. So it is built for ThreadSanitizer only, which says where the two threads met,
// even in a run whose total happens to be 500000:
//
//   WARNING: ThreadSanitizer: data race ... Write of size 8 ... Previous write of size 8 ...
//
// The right ones: counter.cpp.
#include <cstdio>
#include <thread>
#include <vector>

int main() {
  long count = 0;
  {
    std::vector<std::jthread> sensors;
    for (int sensor = 0; sensor < 5; ++sensor)
      sensors.emplace_back([&count] {
        for (int i = 0; i < 100'000; ++i) ++count;
      });
  }
  std::printf("%ld\n", count);
}
