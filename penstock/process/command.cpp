#include <algorithm>
#include <map>
#include <stdexcept>

#include <unistd.h>

#include <penstock/process/command.hpp>

namespace penstock::process {

command command::shell(std::string script, std::vector<std::string> arguments) {
  command made({"/bin/sh", "-c"});
  // Else the shell would take such a script for options.
  if (script.starts_with('-') || script.starts_with('+')) made.words_.push_back("--");
  made.words_.push_back(std::move(script));
  if (!arguments.empty()) made.words_.push_back("sh");  // $0
  std::move(arguments.begin(), arguments.end(), std::back_inserter(made.words_));
  return made;
}

std::vector<std::string> command::environment() const {
  std::map<std::string, std::string> names;
  if (inherits_)
    for (char** at = environ; at && *at; ++at) {
      const std::string entry = *at;
      if (const auto equals = entry.find('=', 1); equals != entry.npos)
        names.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
  for (const auto& [name, value] : changes_) {
    if (name.empty() || name.find('=') != name.npos || name.find('\0') != name.npos)
      throw std::invalid_argument("penstock: not the name of an environment variable: \"" + name + '"');
    if (value && value->find('\0') != value->npos)
      throw std::invalid_argument("penstock: a zero byte in the value of an environment variable: " + name);
    if (value)
      names.insert_or_assign(name, *value);
    else
      names.erase(name);
  }
  std::vector<std::string> entries;
  entries.reserve(names.size());
  for (const auto& [name, value] : names) entries.emplace_back(name).append(1, '=').append(value);
  return entries;
}

std::string shell_quoted(const std::string& word) {
  const auto harmless = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:,+@%").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), harmless)) return word;
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  }
  return quoted + '\'';
}

std::string to_string(const command& what) {
  std::string text;
  for (const std::string& word : what.words()) text += (text.empty() ? "" : " ") + shell_quoted(word);
  return text;
}

}  // namespace penstock::process
