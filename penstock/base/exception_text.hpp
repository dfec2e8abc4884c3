// exception_text(e): what an exception says, with the causes nested in it: "cannot publish: disk full".
#pragma once

#include <exception>
#include <string>

namespace penstock {

[[nodiscard]] std::string exception_text(const std::exception_ptr& error);

}  // namespace penstock
