#include <iostream>
#include <penstock/penstock.hpp>

std::string download(const std::string& name) { return "pixels of " + name; }
std::string resize(const std::string& pixels) { return "small " + pixels; }
void upload(const std::string&) {}

int main() {
  const std::vector<std::string> shots{"IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"};
  std::cout << (penstock::from(shots)
              | penstock::stage("download", download, {.workers = 3})
              | penstock::stage("resize",   resize,   {.workers = 4})
              | penstock::sink ("upload",   upload,   {.workers = 5})
              | penstock::run());
}
