#include "apps/run/command_template.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <utility>

#include "apps/run/inner_code.hpp"
#include "apps/run/script_quoting.hpp"

namespace penstock::runner {
namespace {

using columns = command_template::input_columns;

// The place that `text` begins with, and its length; nothing: it is text.
std::optional<std::pair<place, std::size_t>> place_at(std::string_view text, const columns& known) {
  if (!text.starts_with('{')) return std::nullopt;
  const std::size_t end = text.find('}');
  if (end == text.npos) return std::nullopt;
  std::string_view body = text.substr(1, end - 1);
  place p;
  if (body == "#" || body == "%") {
    p.of = body == "#" ? place::what::number : place::what::slot;
    return std::pair(p, end + 1);
  }
  // A column may have a name that ends as a suffix does.
  if (const auto named = std::find(known.names.begin(), known.names.end(), body);
      named == known.names.end() || body.empty()) {
    using suffix = std::pair<std::string_view, place::part>;
    constexpr std::array<suffix, 4> suffixes{{{"/.", place::part::name_stem},
                                              {"//", place::part::directory},
                                              {"/", place::part::name},
                                              {".", place::part::stem}}};
    for (const auto& [ending, part] : suffixes)
      if (body.ends_with(ending)) {
        body.remove_suffix(ending.size());
        p.which = part;
        break;
      }
  }
  if (body.empty()) return std::pair(p, end + 1);
  if (body == "in" || body == "out") {
    p.of = body == "in" ? place::what::in : place::what::out;
    return std::pair(p, end + 1);
  }
  p.of = place::what::column;
  if (const auto named = std::find(known.names.begin(), known.names.end(), body); named != known.names.end()) {
    p.column = static_cast<std::size_t>(named - known.names.begin()) + 1;
    return std::pair(p, end + 1);
  }
  const auto [stop, error] = std::from_chars(body.data(), body.data() + body.size(), p.column);
  if (error != std::errc{} || stop != body.data() + body.size() || p.column == 0 || p.column > 9999)
    return std::nullopt;
  // a{3} is a regular expression more often than a column that is not there.
  if (!known.several && p.column > 1) return std::nullopt;
  return std::pair(p, end + 1);
}

// Whether only a shell knows what is meant.
bool needs_shell(std::string_view text_without_places, const std::vector<std::string>& words) {
  if (text_without_places.find_first_of("|&;<>()$`\\\"'*?[~!#\n") != std::string_view::npos) return true;
  constexpr std::array<std::string_view, 40> of_the_shell{
      ".",        ":",    "{",       "}",    "alias", "bg",     "break", "case",     "cd",     "command",
      "continue", "do",   "done",    "elif", "else",  "esac",   "eval",  "exec",     "exit",   "export",
      "fi",       "for",  "getopts", "hash", "if",    "local",  "read",  "readonly", "return", "set",
      "shift",    "then", "times",   "trap", "type",  "ulimit", "umask", "unset",    "until",  "while"};
  if (words.empty()) return true;
  return words.front().find('=') != std::string::npos ||
         std::find(of_the_shell.begin(), of_the_shell.end(), words.front()) != of_the_shell.end();
}

std::vector<std::string> split_at_blanks(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; (at = text.find_first_not_of(" \t", at)) != text.npos;) {
    const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

std::string parameter_name(const place& p) {
  std::string name = "PENSTOCK_";
  switch (p.of) {
    case place::what::item:
      name += "ITEM";
      break;
    case place::what::in:
      name += "IN";
      break;
    case place::what::out:
      name += "OUT";
      break;
    case place::what::number:
      name += "SEQ";
      break;
    case place::what::slot:
      name += "SLOT";
      break;
    case place::what::column:
      name += std::to_string(p.column);
      break;
  }
  switch (p.which) {
    case place::part::whole:
      break;
    case place::part::stem:
      name += "_STEM";
      break;
    case place::part::name:
      name += "_NAME";
      break;
    case place::part::directory:
      name += "_DIRECTORY";
      break;
    case place::part::name_stem:
      name += "_NAME_STEM";
      break;
  }
  return name;
}

// Those that a text names by themselves ("$PENSTOCK_ITEM_STEM" in an inner shell's script), and that no command has unless
// it asks: PENSTOCK_ITEM and its like are always there.
void add_parameters_named(std::string_view text, std::vector<place>& found) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
  for (std::size_t at = 0; (at = text.find("PENSTOCK_", at)) != text.npos;) {
    const std::size_t end = std::min(text.find_first_not_of(letters, at), text.size());
    const std::string_view name = text.substr(at, end - at);
    at = end;
    const std::size_t digits = name.find_first_of("0123456789");
    place p;
    if (digits != name.npos) std::from_chars(name.data() + digits, name.data() + name.size(), p.column);
    for (const auto of : {place::what::item, place::what::in, place::what::out, place::what::column})
      for (const auto part :
           {place::part::whole, place::part::stem, place::part::name, place::part::directory, place::part::name_stem}) {
        p.of = of;
        p.which = part;
        if (parameter_name(p) == name && (part != place::part::whole || (of == place::what::column && p.column == 1)))
          found.push_back(p);
      }
  }
}

// As it is read inside such quotes: the shell expands it once, to one word, and does not read what comes out.
std::string parameter_text(const place& p) {
  std::string expansion = "${" + parameter_name(p) + '}';
  switch (p.within) {
    case place::quoting::none:
      return '"' + expansion + '"';
    case place::quoting::single_quotes:
      return "'\"" + expansion + "\"'";
    case place::quoting::double_quotes:
    case place::quoting::here_document:
      break;
  }
  return expansion;
}

std::string value_of(const place& p, const place_values& v) {
  switch (p.of) {
    case place::what::item:
      return part_of(v.item, p.which);
    case place::what::in:
      return part_of(v.in, p.which);
    case place::what::out:
      return part_of(v.out, p.which);
    case place::what::number:
      return std::string(v.number);
    case place::what::slot:
      return std::to_string(v.slot);
    case place::what::column:
      break;
  }
  if (!v.columns || v.columns->empty()) {
    if (p.column == 1) return part_of(v.in, p.which);
  } else if (p.column <= v.columns->size()) {
    return part_of((*v.columns)[p.column - 1], p.which);
  }
  throw value_error("has " + std::to_string(v.columns ? v.columns->size() : 1) +
                    " columns, and the command asks for {" + std::to_string(p.column) + '}');
}

// The value as it would be typed where it stands.
std::string typed(const std::string& value, place::quoting within) {
  std::string out;
  switch (within) {
    case place::quoting::none:
      return process::shell_quoted(value);
    case place::quoting::single_quotes:
      for (const char c : value) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
      return out;
    case place::quoting::double_quotes:
    case place::quoting::here_document:
      for (const char c : value) {
        if (std::string_view("\\$`").find(c) != std::string_view::npos ||
            (c == '"' && within == place::quoting::double_quotes))
          out += '\\';
        out += c;
      }
      return out;
  }
  return out;
}

// Whether a place in a word that `reader` reads as code is to be refused, and why. whole: it is all of that word.
void refuse_code(const code_reader& reader, bool whole, const std::string& spelled, const place& p) {
  if (reader.is == code_reader::who::nobody || (whole && reader.begins)) return;
  if (p.of == place::what::number || p.of == place::what::slot) return;  // digits and dots
  const std::string parameter = "$" + parameter_name(p);
  const std::string would = "the text of " + spelled + " would be read as code by the ";
  switch (reader.is) {
    case code_reader::who::nobody:
      return;
    case code_reader::who::shell:
      throw template_error(would + "inner shell: write \"" + parameter +
                           "\" there, in single quotes around the whole: it is in the environment");
    case code_reader::who::other_shell:
      throw template_error(would + "inner shell: give it to a script as an argument, as in sh -c 'rm -- \"$1\"' sh " +
                           spelled);
    case code_reader::who::remote_shell:
      throw template_error(would + "shell at the other end: send it as data, as in \"printf '%s\\0' " + spelled +
                           " | ssh HOST 'xargs -0 rm --'\"; or, where it cannot be code, write " + parameter);
  }
}

// The quotes around a place in a script; what cannot be made safe there is refused.
place::quoting quoting_for(std::string_view script, std::size_t at, std::size_t length,
                           const std::vector<script_position>& positions, const place& p) {
  const std::string spelled(script.substr(at, length));
  const script_position& position = positions[at];
  if (position.within == script_position::quoting::none || position.within == script_position::quoting::single_quotes ||
      position.within == script_position::quoting::double_quotes) {
    const words_before before = words_of_command(script, positions, at);
    const std::size_t end = at + length;
    const bool ends_word =
        end == script.size() || std::string_view(" \t\n;&|)<>`").find(script[end]) != std::string_view::npos;
    const bool whole = before.begins_word && ends_word && position.within == script_position::quoting::none;
    if (!before.redirection) refuse_code(reader_of_next(before.words), whole, spelled, p);
  }
  switch (position.within) {
    case script_position::quoting::none:
    case script_position::quoting::comment:
      return place::quoting::none;
    case script_position::quoting::single_quotes:
      return place::quoting::single_quotes;
    case script_position::quoting::double_quotes:
      return place::quoting::double_quotes;
    case script_position::quoting::here_document:
      return place::quoting::here_document;
    case script_position::quoting::quoted_here_document:
      throw template_error(spelled +
                           " stands in a here-document whose end is quoted, so nothing in it is replaced: "
                           "write <<END instead of <<'END'");
    case script_position::quoting::arithmetic:
      // Some shells evaluate what they find in a parameter there, commands in it included.
      if (p.of == place::what::number || p.of == place::what::slot) return place::quoting::here_document;
      throw template_error(spelled +
                           " stands in arithmetic, where its text could be read as code: use expr, or check "
                           "it first");
  }
  return place::quoting::none;
}

}  // namespace

std::string part_of(std::string_view path, place::part which) {
  if (which == place::part::whole) return std::string(path);
  std::string_view bare = path;
  while (bare.size() > 1 && bare.ends_with('/')) bare.remove_suffix(1);
  const std::size_t slash = bare.rfind('/');
  const std::string_view name = bare.size() == 1 || slash == bare.npos ? bare : bare.substr(slash + 1);
  // A dot at the beginning of a name begins no extension.
  const std::size_t dot = name.rfind('.');
  const std::size_t extension = dot == name.npos || dot == 0 ? 0 : name.size() - dot;
  switch (which) {
    case place::part::whole:
      break;
    case place::part::stem:
      return std::string(extension ? bare.substr(0, bare.size() - extension) : path);
    case place::part::name:
      return std::string(name);
    case place::part::directory:
      return std::string(slash == bare.npos ? "." : slash == 0 ? "/" : bare.substr(0, slash));
    case place::part::name_stem:
      return std::string(name.substr(0, name.size() - extension));
  }
  return std::string(path);
}

command_template::command_template(std::vector<std::string> words, wording how, const input_columns& known,
                                   bool takes_item) {
  if (words.empty()) throw template_error("a command is missing");
  for (const std::string& word : words) text_ += (text_.empty() ? "" : " ") + word;
  if (how == wording::shell && words.size() > 1) words = {text_};
  const bool one = words.size() == 1 && how != wording::argv;
  text_ = one ? words.front() : process::to_string(process::command(words));

  const auto read = [&known](std::string_view text, bool is_script) {
    const auto positions = is_script ? script_quoting(text) : std::vector<script_position>{};
    pieces made;
    std::string plain;
    for (std::size_t at = 0; at < text.size();) {
      const bool parameter = is_script && at > 0 && text[at - 1] == '$';  // the shell's own ${1}
      if (const auto inner = place_at(text.substr(std::min(at + 1, text.size())), known);
          inner && text[at] == '{' && text.substr(at + 1 + inner->second).starts_with('}') && !parameter) {
        plain += text.substr(at + 1, inner->second);
        at += inner->second + 2;
        continue;
      }
      // \{} is how a shell's text has braces, but for quotes, where the backslash stays, and means itself.
      const bool escaped = is_script && positions[at].escaped;
      const bool in_words = escaped && positions[at].within == script_position::quoting::none;
      auto found = parameter || in_words ? std::nullopt : place_at(text.substr(at), known);
      if (!found) {
        plain += text[at++];
        continue;
      }
      if (is_script) found->first.within = quoting_for(text, at, found->second, positions, found->first);
      if (escaped) plain += '\\';
      if (!plain.empty()) made.push_back({std::exchange(plain, {})});
      made.push_back({{}, true, found->first});
      at += found->second;
    }
    if (!plain.empty() || made.empty()) made.push_back({std::move(plain)});
    return made;
  };

  if (one) {
    const pieces whole = read(words.front(), false);
    std::string without;
    for (const piece& p : whole) without += p.is_place ? "x" : p.text;
    const auto parts = split_at_blanks(without);
    if (parts.empty()) throw template_error("a command is empty");
    shell_ = how == wording::shell || needs_shell(without, parts);
    if (shell_)
      words_.push_back(read(words.front(), true));
    else
      for (const std::string& word : split_at_blanks(words.front())) words_.push_back(read(word, false));
  } else {
    for (std::size_t i = 0; i < words.size(); ++i) {
      constexpr std::array<std::string_view, 8> operators{"|", "||", "&&", "&", ">", ">>", "<", "2>"};
      if (how == wording::automatic && std::find(operators.begin(), operators.end(), words[i]) != operators.end())
        throw template_error("\"" + words[i] + "\" would go to " + words.front() +
                             " as a word: put the whole command in quotes if a shell is to read it, or say --argv");
      // sh -c '… {} …': a script after all, wherever it stands (nice, timeout, env).
      const code_reader reader = reader_of_next(std::span(words).first(i));
      pieces made = read(words[i], false);
      if (reader.is != code_reader::who::shell)
        for (const piece& p : made)
          if (p.is_place) refuse_code(reader, made.size() == 1, "a place", p.place);
      if (reader.is == code_reader::who::shell && made.size() > 1) {
        made = read(words[i], true);
        for (piece& p : made)
          if (std::exchange(p.is_place, false)) {
            p.text = parameter_text(p.place);
            parameters_.push_back(p.place);
          }
      }
      words_.push_back(std::move(made));
    }
  }
  if (takes_item) append_item_if_unused(words);
  for (const pieces& word : words_)
    for (const piece& p : word)
      if (!p.is_place) add_parameters_named(p.text, parameters_);
  if (shell_)
    for (const piece& p : words_.front()) {
      script_ += p.is_place ? parameter_text(p.place) : p.text;
      if (p.is_place) parameters_.push_back(p.place);
    }
}

void command_template::append_item_if_unused(const std::vector<std::string>& words) {
  for (const pieces& word : words_)
    for (const piece& p : word)
      if (p.is_place || p.text.find("PENSTOCK_") != std::string::npos) return;
  const piece item{{}, true, {}};
  if (!shell_) {
    refuse_code(reader_of_next(words), true, "the item", item.place);
    words_.push_back({item});
    return;
  }
  // Behind what ends a command it would be one of its own.
  std::string& script = words_.front().front().text;
  script.erase(script.find_last_not_of(" \t\n") + 1);
  const auto parts = split_at_blanks(script);
  if (parts.empty()) throw template_error("a command is empty");
  const auto positions = script_quoting(script);
  const script_position& last = positions.back();
  constexpr std::array<std::string_view, 4> closing{"}", "fi", "done", "esac"};
  const bool ends_command = last.within == script_position::quoting::none && !last.escaped &&
                            std::string_view(";&|").find(script.back()) != std::string_view::npos;
  const auto in_document = std::find_if(positions.rbegin(), positions.rend(), [](const script_position& p) {
    return p.within == script_position::quoting::here_document ||
           p.within == script_position::quoting::quoted_here_document;
  });
  const bool ends_document =
      in_document != positions.rend() &&
      script.find('\n', static_cast<std::size_t>(positions.rend() - in_document)) == std::string::npos;
  if (ends_command || ends_document || last.within == script_position::quoting::comment ||
      std::find(closing.begin(), closing.end(), parts.back()) != closing.end())
    throw template_error(
        "the item has no place: write {} where it belongs, since behind the end of the script it would be a command of "
        "its own; one that needs no item says so with ': {};' at its beginning");
  script += ' ';
  const words_before before = words_of_command(script, script_quoting(script), script.size());
  refuse_code(reader_of_next(before.words), true, "the item", item.place);
  words_.front().push_back(item);
}

bool command_template::uses(place::what value) const noexcept {
  for (const pieces& word : words_)
    for (const piece& p : word) {
      if (p.is_place && p.place.of == value) return true;
      place asked;
      asked.of = value;
      if (value != place::what::column && !p.is_place && p.text.find(parameter_name(asked)) != std::string::npos)
        return true;
    }
  return false;
}

bool command_template::asks_for(place::what value) const noexcept {
  const auto is_it = [&](const place& p) { return p.of == value; };
  return std::any_of(parameters_.begin(), parameters_.end(), is_it) ||
         std::any_of(words_.begin(), words_.end(), [&](const pieces& word) {
           return std::any_of(word.begin(), word.end(), [&](const piece& p) { return p.is_place && is_it(p.place); });
         });
}

bool command_template::uses_items() const noexcept {
  for (const pieces& word : words_)
    for (const piece& p : word)
      if (p.is_place && p.place.of != place::what::slot) return true;
  return false;
}

std::string command_template::program() const {
  if (shell_ || words_.front().size() != 1 || words_.front().front().is_place) return {};
  return words_.front().front().text;
}

process::command command_template::made_for(const place_values& v) const {
  for (const std::string_view text : {v.item, v.in, v.out})
    if (text.find('\0') != text.npos) throw value_error("has a zero byte, which no program can be given");
  std::vector<std::string> words;
  if (shell_) {
    words = {"/bin/sh", "-c", script_};
  } else {
    words.reserve(words_.size());
    for (const pieces& word : words_) {
      std::string& made = words.emplace_back();
      for (const piece& p : word) made += p.is_place ? value_of(p.place, v) : p.text;
    }
  }
  process::command made(std::move(words));
  const auto set = [&made](std::string name, std::string value) {
    (void)std::move(made).with(std::move(name), std::move(value));
  };
  set("PENSTOCK_ITEM", std::string(v.item));
  set("PENSTOCK_IN", std::string(v.in));
  set("PENSTOCK_OUT", std::string(v.out));
  set("PENSTOCK_SEQ", std::string(v.number));
  set("PENSTOCK_SLOT", std::to_string(v.slot));
  set("PENSTOCK_STAGE", std::string(v.stage));
  set("PENSTOCK_ATTEMPT", std::to_string(v.attempt));
  if (v.columns)
    for (std::size_t i = 0; i < v.columns->size(); ++i) set("PENSTOCK_" + std::to_string(i + 1), (*v.columns)[i]);
  for (const place& p : parameters_)
    if (p.which != place::part::whole || p.of == place::what::column) set(parameter_name(p), value_of(p, v));
  return made;
}

std::string command_template::text_for(const place_values& v) const {
  std::string text;
  if (shell_) {
    for (const piece& p : words_.front()) text += p.is_place ? typed(value_of(p.place, v), p.place.within) : p.text;
    return text;
  }
  for (const pieces& word : words_) {
    std::string made;
    for (const piece& p : word) made += p.is_place ? value_of(p.place, v) : p.text;
    text += (text.empty() ? "" : " ") + process::shell_quoted(made);
  }
  return text;
}

}  // namespace penstock::runner
