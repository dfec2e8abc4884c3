#include <cstdio>

#include <penstock/watch/printable.hpp>

namespace penstock {

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      out += c;
      continue;
    }
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\x%02x", unsigned{byte});
    out += escape;
  }
  return out;
}

}  // namespace penstock
