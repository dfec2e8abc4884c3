// results_directory: what every job printed, kept in files: DIR/STAGE/NUMBER/ with stdout, stderr, item and status.
//
// THREADS  keep() at the same time.
// ERRORS   std::system_error: a directory or a file that cannot be written.
#pragma once

#include <filesystem>
#include <string>

#include "apps/run/output.hpp"

namespace penstock::runner {

class results_directory {
 public:
  explicit results_directory(std::filesystem::path where) : where_(std::move(where)) {}
  // status: "exited with 0".
  void keep(const std::string& stage, const std::string& number, const std::string& item, const std::string& status,
            const printed& what) const;

 private:
  const std::filesystem::path where_;
};

}  // namespace penstock::runner
