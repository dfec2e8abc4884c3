// listen_address: "127.0.0.1:8080", "[::1]:8080" or "8080", as users write it, into server_options.
#pragma once

#include <string>

#include "apps/gallery/server.hpp"

namespace penstock::gallery {

// Throws std::invalid_argument that says how it is written.
void set_listen_address(server_options& options, const std::string& text);

}  // namespace penstock::gallery
