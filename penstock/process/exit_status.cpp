#include <charconv>
#include <csignal>
#include <cstring>
#include <string_view>

#include <penstock/process/exit_status.hpp>

namespace penstock::process {

int exit_status::number() const noexcept {
  switch (how) {
    case end::exited:
      return code;
    case end::signalled:
      return -signal;
    case end::unknown:
      break;
  }
  return -1000;
}

int exit_status::shell_number() const noexcept {
  switch (how) {
    case end::exited:
      return code;
    case end::signalled:
      return 128 + signal;
    case end::unknown:
      break;
  }
  return 255;
}

std::string to_string(const exit_status& status) {
  switch (status.how) {
    case exit_status::end::exited:
      return "exited with " + std::to_string(status.code);
    case exit_status::end::signalled: {
      std::string text = "killed by signal " + std::to_string(status.signal);
      if (const char* name = ::sigabbrev_np(status.signal)) text += " (" + std::string(name) + ')';
      return status.core_dumped ? text + ", core dumped" : text;
    }
    case exit_status::end::unknown:
      break;
  }
  return "ended, nobody knows how";
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name ? name : "signal " + std::to_string(signal);
}

int signal_number(const std::string& name) noexcept {
  const std::string_view bare = std::string_view(name).substr(name.starts_with("SIG") ? 3 : 0);
  for (int signal = 1; signal < NSIG; ++signal)
    if (const char* known = ::sigabbrev_np(signal); known && bare == known) return signal;
  int number = 0;
  const char* const end = bare.data() + bare.size();
  const auto [read_to, error] = std::from_chars(bare.data(), end, number);
  return error == std::errc{} && read_to == end && number > 0 && number < NSIG ? number : 0;
}

}  // namespace penstock::process
