// pipeline_file: `penstock run film.toml`: a plan in a file, with the command line's words.
//
//   journal = "film.journal"            # options of the run; a flag is true
//   null = true
//   items = ["a", "b"]                  # in place of :::
//   timeout = "1h"                      # meant for all stages
//
//   [[stage]]
//   command = "flac -s {}"              # a script; a list of words is executed as it is
//   jobs = 4
//   env = {LANG = "C"}
//
//   [[stage]]
//   command = ["rsync", "{.}.flac", "nas:/music/"]
//
// What the command line says besides comes on top.
// ERRORS   usage_error, with the file's name and line.
#pragma once

#include <string>

#include "apps/run/plan.hpp"

namespace penstock::runner {

// Not complete()d.
[[nodiscard]] run_plan plan_from_file(const std::string& path);

}  // namespace penstock::runner
