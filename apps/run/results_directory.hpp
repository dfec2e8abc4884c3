// results_directory: what every job printed, kept in files: DIR/STAGE/NUMBER/ with stdout, stderr, item and status.
//
// AGAIN    A run that goes on with an earlier one may have its items in another order: what belongs to another item is left
//          there, and this one's is DIR/STAGE/NUMBER~2.
// THREADS  keep() at the same time.
// ERRORS   std::system_error: a directory or a file that cannot be written.
#pragma once

#include <filesystem>
#include <string>

#include "apps/run/output.hpp"

namespace penstock::runner {

class results_directory {
 public:
  // goes_on: with what an earlier run has kept.
  results_directory(std::filesystem::path where, bool goes_on);
  // status: "exited with 0".
  void keep(const std::string& stage, const std::string& number, const std::string& item, const std::string& status,
            const printed& what) const;

 private:
  const std::filesystem::path where_;
  const bool goes_on_;
};

}  // namespace penstock::runner
