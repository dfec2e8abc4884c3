// A pipeline that is held open: the program pushes when it has something, and drains it on Ctrl-C.
#include <cstdio>
#include <string>

#include <penstock/penstock.hpp>

int main() {
  penstock::interrupts signals;
  std::size_t letters = 0;
  auto line = penstock::from<std::string>()
            | penstock::stage("trim", [](std::string s) -> std::optional<std::string> {
                if (s.empty()) return std::nullopt;  // filtered
                return s;
              }, {.workers = 2})
            | penstock::stage("split", [](const std::string& s) { return penstock::each(std::vector<char>(s.begin(), s.end())); })
            | penstock::sink("count", [&](char) { ++letters; })
            | penstock::start({.stop = signals.second(), .drain = signals.first()});
  for (const char* word : {"a", "", "constant", "stream", "", "of", "images"}) line.push(word);
  line.close();
  const auto report = line.wait();
  std::printf("%zu letters from %llu words, %llu empty\n", letters, static_cast<unsigned long long>(report.entered),
              static_cast<unsigned long long>(report.filtered));
}
