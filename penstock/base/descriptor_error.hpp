// descriptor_error(what, error): the std::system_error of a system call on descriptors. Where the cause is a limit, the
// message says which limit it is and how it is raised.
//
//   if (fd < 0) throw descriptor_error("accept");
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace penstock {

[[nodiscard]] inline std::system_error descriptor_error(std::string what, int error = errno) {
  if (error == EMFILE)
    what += ": this process has as many open descriptors as it may; close some, or raise the limit (ulimit -n)";
  if (error == ENFILE)
    what += ": the machine has as many open files as it may; close some, or raise the limit (sysctl fs.file-max)";
  if (error == ENOSPC && what == "epoll_ctl")
    what += ": this user watches as many descriptors as allowed (sysctl fs.epoll.max_user_watches)";
  return {error, std::generic_category(), what};
}

}  // namespace penstock
