// command: what is to be executed: a program with its arguments, its directory and its environment.
//
//   command({"convert", from, to})                     words go to the program as they are: no shell, nothing to quote
//   command::shell("sort words | uniq -c")             a script for /bin/sh
//   command({"make"}).in_directory("build").with("CC", "clang").without("MAKEFLAGS")
//
// PROGRAM  Without a slash it is searched for in PATH: the command's own if it sets one, else this program's. A relative
//          name is meant from where this program is, not from the command's directory.
// THREADS  As any value. The environment is read when the command is started; a program whose other threads call setenv
//          meanwhile is wrong without penstock, too.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::process {

class command {
 public:
  command(std::initializer_list<std::string> words) : words_(words) {}
  explicit command(std::vector<std::string> words) : words_(std::move(words)) {}
  // arguments: $1, $2 … of the script: the safe way for a file name into one.
  static command shell(std::string script, std::vector<std::string> arguments = {});

  command&& argument(std::string word) && {
    words_.push_back(std::move(word));
    return std::move(*this);
  }
  command&& in_directory(std::filesystem::path directory) && {
    directory_ = std::move(directory);
    return std::move(*this);
  }
  command&& with(std::string name, std::string value) && {
    changes_.emplace_back(std::move(name), std::move(value));
    return std::move(*this);
  }
  command&& without(std::string name) && {
    changes_.emplace_back(std::move(name), std::nullopt);
    return std::move(*this);
  }
  // Nothing of this program's environment; what with() says comes on top.
  command&& with_empty_environment() && {
    inherits_ = false;
    return std::move(*this);
  }

  [[nodiscard]] const std::vector<std::string>& words() const noexcept { return words_; }
  [[nodiscard]] const std::filesystem::path& directory() const noexcept { return directory_; }  // empty: ours
  // True iff its environment is ours, unchanged.
  [[nodiscard]] bool keeps_environment() const noexcept { return inherits_ && changes_.empty(); }
  // NAME=value, each name once. Throws std::invalid_argument for a name that is empty or has a '=', and for a zero
  // byte in a name or value: the system would cut it off there.
  [[nodiscard]] std::vector<std::string> environment() const;

 private:
  std::vector<std::string> words_;
  std::filesystem::path directory_;
  bool inherits_ = true;
  std::vector<std::pair<std::string, std::optional<std::string>>> changes_;  // the later wins
};

// The words as they would be typed into a shell, for messages: 'it'\''s' plain.
[[nodiscard]] std::string to_string(const command& what);
// One word in quotes that a POSIX shell takes for exactly that word; unquoted where that is the same.
[[nodiscard]] std::string shell_quoted(const std::string& word);

}  // namespace penstock::process
