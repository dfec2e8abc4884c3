// spawn: starts a process.
//
//   child c = spawn({"git", "gc"}, {.out = redirect::to_file("gc.log"), .err = redirect::as_out()});
//
// COST     posix_spawn, or the same steps by hand where there is a memory limit: about 0.4 ms for a dynamic program,
//          however much memory this one has; fork would copy its page tables (153 ms for 4 GiB).
// CLEAN    The child has an empty signal mask, default signal actions (an ignored HUP, INT or QUIT stays ignored: nohup
//          and background jobs mean it), its three standard descriptors and those of `pass`, no others, whatever this
//          program or another thread of it has open without close-on-exec.
// THREADS  From any number of threads at the same time.
// ERRORS   spawn_error, which says what it was: the program, the directory, a descriptor or file, the arguments. Its
//          is_shortage() tells a machine that is short of memory, processes or descriptors at the moment, where a later
//          attempt may succeed, from a program that cannot be started.
//          std::invalid_argument for a command without words, and for a zero byte in a word, in a variable's name or
//          value, or in the name of a directory or file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include <sys/types.h>

#include <penstock/process/child.hpp>
#include <penstock/process/command.hpp>
#include <penstock/process/redirect.hpp>

namespace penstock::process {

struct spawn_options {
  redirect in = redirect::inherit();
  redirect out = redirect::inherit();
  redirect err = redirect::inherit();
  // own_group: the child leads one; 0: it stays in this program's, for one that talks to the terminal; a child's pid: in
  // the group which that one leads.
  static constexpr pid_t own_group = -1;
  pid_t group = own_group;
  // Further descriptors, lent: they are 3, 4, 5… in the child.
  std::vector<int> pass{};
  // Address space, of the child and of each process that it starts; 0: as this program's. It holds from the program's
  // first instruction: a program whose loading alone needs more ends at once, by a signal or as its loader says.
  std::size_t memory_bytes = 0;
};

// True iff the code says that the machine, or a limit of this process, is short of memory, processes or descriptors
// now: ENOMEM, EAGAIN, EMFILE, ENFILE. Also for the std::system_error that calls throw which wait for a child.
[[nodiscard]] bool is_shortage(const std::error_code& code) noexcept;

class spawn_error : public std::system_error {
 public:
  enum class part : std::uint8_t { program, directory, descriptor, arguments, system };
  spawn_error(part what, int error, const std::string& text)
      : std::system_error(error, std::generic_category(), text), part_(what) {}
  [[nodiscard]] part which() const noexcept { return part_; }
  // False: this command cannot be started as it is, however often it is tried.
  [[nodiscard]] bool is_shortage() const noexcept { return process::is_shortage(code()); }

 private:
  part part_;
};

[[nodiscard]] child spawn(const command& what, spawn_options options = {});

// Whether spawn() would find this program now, in this program's PATH: to say it before the first of many is started.
// False for a directory, for a file without the right to execute it, and for an empty name.
[[nodiscard]] bool program_exists(const std::string& name);

}  // namespace penstock::process
