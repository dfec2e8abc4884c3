// Programs connected by pipes: three texts are encrypted at the same time, fed through pipes; then encrypted and hashed
// in a chain, which must give what the same steps one by one give.
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <penstock/process/run.hpp>

using namespace penstock::process;

namespace {

command encryption() { return {"openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-nosalt", "-pass", "pass:of the example"}; }
command hash() { return {"openssl", "dgst", "-sha256", "-r"}; }

}  // namespace

int main() {
  std::vector<std::string> texts;
  for (const char letter : {'a', 'b', 'c'}) texts.emplace_back(1'000'000, letter);

  std::vector<std::string> encrypted(texts.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < texts.size(); ++i)
      threads.emplace_back([&, i] { encrypted[i] = run(encryption(), {.input = texts[i], .check = true}).out; });
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string chained = run(encryption() | hash(), {.input = texts[i], .check = true}).out;
    const std::string step_by_step = run(hash(), {.input = encrypted[i], .check = true}).out;
    std::printf("%zu bytes, then %.8s: %s\n", encrypted[i].size(), chained.c_str(),
                chained == step_by_step ? "the same" : "NOT THE SAME");
  }
}
