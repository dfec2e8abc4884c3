// command: `penstock gallery serve`, without its command line, which apps/penstock parses.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <stop_token>

#include "apps/gallery/server.hpp"

namespace penstock::gallery {

// Serves the gallery in `directory` until `stop` is requested, then ends the server and returns 0. Makes the gallery if
// there is none. With a token it is opened for publishing; without one for reading only, so that the user who serves
// it need not be able to write there.
//
// Prints the page's address to `out` once it can be used. Blocks; what wakes it is `stop`. Throws std::runtime_error
// that says what to do when it cannot start.
int serve_command(const std::filesystem::path& directory, server_options options, std::ostream& out,
                  const std::stop_token& stop);

}  // namespace penstock::gallery
