#include "apps/photos/image_messages.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <vector>

#include <glib.h>
#include <vips/vips.h>

namespace penstock::photos {
namespace {

struct message {
  std::string text;
  bool is_error;
};

constexpr std::size_t most_messages = 16;

std::vector<message>& messages() {
  thread_local std::vector<message> mine;
  return mine;
}

// Called by C code: a message that finds no memory is lost.
void keep(std::string_view text, bool is_error) noexcept {
  try {
    if (messages().size() < most_messages) messages().push_back({std::string(text), is_error});
  } catch (...) {
  }
}

// Said of every photo, or saying only that something failed.
bool says_nothing(std::string_view text) {
  static constexpr std::array<std::string_view, 8> empty{
      "bad seek to",             // HEIC, AVIF: the reader looks for the end of the file
      "error in tile",           // beside the error itself
      "ignoring nclx",           //
      "libpng read error",       // the cause is in a warning
      "read error",              // TIFF: the cause is in the message before
      "out of order read",       // what follows from a failure
      "Unknown field with tag",  // TIFF: private tags are in order
      "unable to call",
  };
  return text.empty() ||
         std::ranges::any_of(empty, [&](std::string_view e) { return text.find(e) != std::string_view::npos; });
}

// Without the number that libheif adds: "No 'meta' box (2.104)".
std::string_view without_number(std::string_view text) {
  const auto open = text.rfind(" (");
  if (open != std::string_view::npos && text.ends_with(')') &&
      text.find_first_not_of("0123456789.", open + 2) == text.size() - 1)
    text = text.substr(0, open);
  return text;
}

std::string_view tidy(std::string_view text) {
  const auto first_line = text.substr(0, text.find('\n'));
  const auto end = first_line.find_last_not_of(" \r\t");
  return without_number(first_line.substr(0, end == std::string_view::npos ? 0 : end + 1));
}

}  // namespace

void keep_decoder_warnings() {
  g_log_set_handler(
      "VIPS", static_cast<GLogLevelFlags>(G_LOG_LEVEL_WARNING | G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG),
      [](const gchar*, GLogLevelFlags level, const gchar* text, gpointer) {
        if ((level & G_LOG_LEVEL_WARNING) != 0 && text != nullptr) keep(text, false);
      },
      nullptr);
}

void forget_decoder_messages() noexcept { messages().clear(); }

std::string decoder_cause() {
  for (const bool want_error : {true, false})
    for (const message& m : messages())
      if (m.is_error == want_error)
        if (const std::string_view text = tidy(m.text); !says_nothing(text)) return std::string(text);
  return "no reason given";
}

}  // namespace penstock::photos

// In place of libvips' own function of this name; see the header.
extern "C" __attribute__((visibility("default"))) void vips_verror(const char*, const char* format, va_list arguments) {
  char text[1000];
  std::vsnprintf(text, sizeof text, format, arguments);
  penstock::photos::keep(text, true);
}
