// serving: a gallery in a temporary directory and a server for it on a free port of 127.0.0.1.
#pragma once

#include <memory>
#include <utility>

#include "apps/gallery/server.hpp"
#include "apps/gallery/store.hpp"
#include "tests/gallery/fixtures.hpp"

namespace penstock::gallery {

inline server_options test_options(server_limits limits = {}) {
  server_options options;
  options.port = 0;
  options.token = test_token;
  options.limits = limits;
  return options;
}

struct serving {
  explicit serving(server_options options = test_options()) : running(photos, std::move(options)) {}

  [[nodiscard]] raw_connection connect() const { return raw_connection(running.port()); }

  temporary_directory directory;
  store photos{directory.path()};
  server running;
};

}  // namespace penstock::gallery
