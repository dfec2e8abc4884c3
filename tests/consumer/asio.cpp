// The adapter as it is installed.
#include <boost/asio.hpp>

#include <penstock/asio/asio_function.hpp>
#include <penstock/async/run.hpp>

namespace {
boost::asio::awaitable<int> twice(int x) { co_return 2 * x; }
}  // namespace

int main() {
  penstock::asio_thread net;
  const auto function = penstock::asio_function<int>(net, twice);
  return penstock::run(function(21)) == 42 ? 0 : 1;
}
