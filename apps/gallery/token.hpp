// token: the secret that lets a program publish, from where it is not on a command line, which every user of the
// machine can read.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace penstock::gallery {

inline constexpr std::size_t min_token_length = 16;

struct found_token {
  std::string token;
  std::string warning;  // to be shown to the user; empty: none
};

// The token in `file`; without a file, that in the environment variable PENSTOCK_TOKEN; nothing if that is not set.
// White space at its end (a text file has a line feed) does not belong to it. Warns when others may read the file.
// Throws std::runtime_error for a file that cannot be read, and a token that is too short or cannot be sent.
[[nodiscard]] std::optional<found_token> read_token(const std::filesystem::path& file);

}  // namespace penstock::gallery
