// start_program: one program in a new process, with everything that must hold before its first instruction; spawn()
// prepares what it is to be, and explains its error numbers.
//
// CLEAN    The child has an empty signal mask, default signal actions but for the ignored ones of HUP, INT and QUIT,
//          the descriptors of `copies` and of the standard three, and no others.
// LIMITS   A memory limit holds for the program from its first instruction, and for every process that it starts.
//          Nothing is set on a running child.
#pragma once

#include <cstddef>
#include <vector>

#include <sys/types.h>

namespace penstock::process {

struct descriptor_copy {
  int from, to;  // the same: it survives exec
};

struct program_start {
  const char* program;
  char* const* words;
  char* const* environment;
  const char* directory;  // null: this program's
  std::vector<descriptor_copy> copies;
  int close_from;
  bool joins_group;          // else it stays in this program's
  pid_t group;               // 0: a new one, that it leads
  std::size_t memory_bytes;  // 0: as this program's
};

// 0, and `pid` is set; else the error number, and there is no process.
[[nodiscard]] int start_program(const program_start& what, pid_t& pid) noexcept;

}  // namespace penstock::process
