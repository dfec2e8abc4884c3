// command: `penstock photos`, without its command line, which apps/penstock parses.
#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

#include <penstock/base/interrupts.hpp>

#include "apps/photos/photo_line.hpp"

namespace penstock::photos {

struct command_options {
  line_options line{};
  std::string to = "./gallery";  // a directory, or http://host:port
  std::string token_file;        // empty: the environment variable PENSTOCK_TOKEN, if it is set
  std::string serve;             // "ADDR:PORT": show the gallery while it fills, and after; empty: do not
  bool isolate = false;          // pictures are decoded in processes of their own: image_maker.hpp
  std::chrono::nanoseconds deadline = std::chrono::minutes(2);  // of those, for one picture
  bool json = false;                                            // the final report on `out`, as JSON, instead of text
  bool quiet = false;                                           // no progress; failures are still told
};

// Runs the line from the sources to the gallery. Progress and failures go to stderr, the report to `out`.
// Returns 0: all done; 1: some photos failed or could not be read, or the run ended early; 130: interrupted. Throws an
// exception that says why it could not start.
int photos_command(command_options options, interrupts& signals, std::ostream& out);

}  // namespace penstock::photos
