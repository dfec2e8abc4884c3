#include "apps/gallery/listen_address.hpp"

#include <charconv>
#include <stdexcept>

namespace penstock::gallery {

void set_listen_address(server_options& options, const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const std::string port = colon == std::string::npos ? text : text.substr(colon + 1);
  if (colon != std::string::npos) options.address = text.substr(0, colon);
  if (options.address.size() > 1 && options.address.front() == '[' && options.address.back() == ']')
    options.address = options.address.substr(1, options.address.size() - 2);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), options.port);
  if (error != std::errc{} || end != port.data() + port.size() || options.address.empty())
    throw std::invalid_argument("cannot listen at \"" + text +
                                "\": write an address and a port, such as 127.0.0.1:8080");
}

}  // namespace penstock::gallery
