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
  const bool is_a_name = std::find(known.names.begin(), known.names.end(), body) != known.names.end();
  if (!is_a_name && (body == "in" || body == "out")) {
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
// The same; a place is in one word, whatever its name is: {First Name}.
std::vector<std::string> split_around_places(std::string_view text, const columns& known) {
  std::vector<std::string> words;
  bool in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == ' ' || text[at] == '\t') {
      in_word = false;
      ++at;
      continue;
    }
    if (!std::exchange(in_word, true)) words.emplace_back();
    const auto found = place_at(text.substr(at), known);
    const std::size_t length = found ? found->second : 1;
    words.back() += text.substr(at, length);
    at += length;
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

constexpr std::string_view name_letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

// The places whose variables a text names ("$PENSTOCK_ITEM_STEM").
void add_parameters_named(std::string_view text, std::vector<place>& found) {
  for (std::size_t at = 0; (at = text.find("PENSTOCK_", at)) != text.npos;) {
    const std::size_t end = std::min(text.find_first_not_of(name_letters, at), text.size());
    const std::string_view name = text.substr(at, end - at);
    at = end;
    const std::size_t digits = name.find_first_of("0123456789");
    place p;
    if (digits != name.npos) std::from_chars(name.data() + digits, name.data() + name.size(), p.column);
    for (const auto of : {place::what::item, place::what::in, place::what::out, place::what::number, place::what::slot,
                          place::what::column})
      for (const auto part :
           {place::part::whole, place::part::stem, place::part::name, place::part::directory, place::part::name_stem}) {
        p.of = of;
        p.which = part;
        if (parameter_name(p) == name && (of != place::what::column || p.column > 0)) found.push_back(p);
      }
  }
}

// $PENSTOCK_ITEM and ${PENSTOCK_ITEM} as ${PENSTOCK_ITEM?}: where the environment was dropped on the way to the shell that
// expands it, that shell ends instead of doing something with an empty word.
std::string with_loud_variables(std::string_view text) {
  std::string made;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const bool braces = rest.starts_with("${PENSTOCK_");
    if (!braces && !rest.starts_with("$PENSTOCK_")) {
      made += text[at++];
      continue;
    }
    const std::size_t from = braces ? 2 : 1;
    const std::size_t end = std::min(rest.find_first_not_of(name_letters, from), rest.size());
    const std::string_view name = rest.substr(from, end - from);
    std::vector<place> known;
    add_parameters_named(name, known);
    if (known.empty() || (braces && (end == rest.size() || rest[end] != '}'))) {
      made += rest.substr(0, end);
      at += end;
      continue;
    }
    made.append("${").append(name).append("?}");
    at += end + (braces ? 1 : 0);
  }
  return made;
}

// As it is read inside such quotes: the shell expands it once, to one word, and does not read what comes out.
std::string parameter_text(const place& p) {
  std::string expansion = "${" + parameter_name(p) + "?}";
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
  const std::string quoted = process::shell_quoted(value);
  switch (within) {
    case place::quoting::none:
      return quoted;
    case place::quoting::single_quotes:
      return "'" + quoted + "'";
    case place::quoting::double_quotes:
    case place::quoting::here_document:
      return '"' + quoted + '"';
  }
  return quoted;
}

// Throws if the reader would execute the text of what is spelled so.
void refuse_code(const code_reader& reader, const std::string& spelled) {
  const std::string would = "the text of " + spelled + " would be read as code by the ";
  const std::string argument = spelled.starts_with('$') ? '"' + spelled + '"' : spelled;
  switch (reader.is) {
    case code_reader::kind::none:
      return;
    case code_reader::kind::shell:
    case code_reader::kind::other_shell:
      throw template_error(would + "inner shell: give it to a script as an argument, as in sh -c 'rm -- \"$1\"' sh " +
                           argument);
    case code_reader::kind::remote_shell:
      throw template_error(would + "shell at the other end: send it as data, as in \"printf '%s\\0' " + argument +
                           " | ssh HOST 'xargs -0 rm --'\"");
    case code_reader::kind::program:
      throw template_error(would + "program: give it as an argument, as in python3 -c '… sys.argv[1] …' " + argument +
                           ", or let the program read PENSTOCK_ITEM in its environment");
  }
}
bool is_text(const place& p) {
  return p.of != place::what::number && p.of != place::what::slot;
}  // not digits and dots

place::quoting quoting_for(const std::string& spelled, const script_position& position, const place& p) {
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
      if (!is_text(p)) return place::quoting::here_document;
      throw template_error(spelled +
                           " stands in arithmetic, where its text could be read as code: use expr, or check "
                           "it first");
  }
  return place::quoting::none;
}

// Throws if a value would be code for a program that this script starts, or for this shell itself.
void refuse_code_in(std::string_view script, const std::vector<script_position>& positions,
                    const std::vector<value_in_script>& places) {
  const script_commands parsed = commands_of(script, positions);
  std::vector<value_in_script> values = places;
  for (const value_in_script& v : variables_with_values(script, positions, parsed, places)) values.push_back(v);
  for (const value_in_script& v : values) {
    const std::string spelled(script.substr(v.begin, v.length));
    if (positions[v.begin].within == script_position::quoting::arithmetic)
      throw template_error(spelled + " stands in arithmetic, where its text could be read as code: use expr");
    refuse_code(reader_of_value(script, positions, parsed, v), spelled);
  }
  // In an inner shell's script, ${PENSTOCK_ITEM%.*}: empty without a word where the environment was dropped.
  for (std::size_t at = 0; (at = script.find("${PENSTOCK_", at)) != script.npos; ++at) {
    const std::size_t end = std::min(script.find_first_not_of(name_letters, at + 2), script.size());
    std::vector<place> known;
    add_parameters_named(script.substr(at + 2, end - at - 2), known);
    if (known.empty() || end == script.size() || std::string_view("}?").find(script[end]) != std::string_view::npos ||
        script.substr(end).starts_with(":?"))
      continue;
    const std::string spelled(script.substr(at, script.find('}', end) - at + 1));
    if (reader_of_value(script, positions, parsed, {at, spelled.size()}).is != code_reader::kind::none)
      throw template_error(spelled + " would be empty where the environment is dropped: give it to the script as an " +
                           "argument, as in sh -c 'rm -- \"$1\"' sh {}");
  }
}

// Whether a script uses $0, or $1 … $@ $* $#.
bool uses_arguments(std::string_view script, std::string_view which) {
  for (std::size_t at = 0; (at = script.find('$', at)) != script.npos;) {
    ++at;
    if (at < script.size() && script[at] == '{') ++at;
    if (at < script.size() && which.find(script[at]) != which.npos) return true;
  }
  return false;
}
constexpr std::string_view of_arguments = "123456789@*#";

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

// Text and places. script: its quoting, if it is a shell's; then each place knows how it is quoted.
command_template::pieces command_template::read(std::string_view text, const input_columns& known, bool is_script) {
  const auto positions = is_script ? script_quoting(text) : std::vector<script_position>{};
  pieces made;
  std::string plain;
  std::vector<value_in_script> places;
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
    if (is_script) {
      found->first.within = quoting_for(std::string(text.substr(at, found->second)), positions[at], found->first);
      if (is_text(found->first)) places.push_back({at, found->second, true});
    }
    if (escaped) plain += '\\';
    if (!plain.empty()) made.push_back({std::exchange(plain, {})});
    made.push_back({{}, true, found->first});
    at += found->second;
  }
  if (!plain.empty() || made.empty()) made.push_back({std::move(plain)});
  if (is_script) refuse_code_in(text, positions, places);
  return made;
}

// The values that a script needs as arguments, each once.
std::vector<place> command_template::places_of(const pieces& script) {
  std::vector<place> all, once;
  for (const piece& p : script) {
    if (p.is_place)
      all.push_back(p.place);
    else
      add_parameters_named(p.text, all);
  }
  for (const place& p : all)
    if (std::none_of(once.begin(), once.end(),
                     [&](const place& other) { return parameter_name(other) == parameter_name(p); }))
      once.push_back(p);
  return once;
}
// The script as it is executed: it takes its values from its first arguments.
std::string command_template::script_taking(const std::vector<place>& values, const pieces& script) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i)
    text += (i ? " " : "") + parameter_name(values[i]) + "=${" + std::to_string(i + 1) + "?}";
  if (values.size() == 1) text += "; shift; ";
  if (values.size() > 1) text += "; shift " + std::to_string(values.size()) + "; ";
  for (const piece& p : script) text += p.is_place ? parameter_text(p.place) : with_loud_variables(p.text);
  return text;
}

command_template::command_template(std::vector<std::string> words, wording how, const input_columns& known,
                                   bool takes_item) {
  if (words.empty()) throw template_error("a command is missing");
  for (const std::string& word : words) text_ += (text_.empty() ? "" : " ") + word;
  if (how == wording::shell && words.size() > 1) words = {text_};
  const bool one = words.size() == 1 && how != wording::argv;
  text_ = one ? words.front() : process::to_string(process::command(words));
  if (one) {
    std::string without;
    for (const piece& p : read(words.front(), known, false)) without += p.is_place ? "x" : p.text;
    const auto parts = split_at_blanks(without);
    if (parts.empty()) throw template_error("a command is empty");
    shell_ = how == wording::shell || needs_shell(without, parts);
    if (!shell_) {
      read_words(split_around_places(words.front(), known), wording::argv, takes_item, known);
      return;
    }
    script_ = read(words.front(), known, true);
    if (takes_item) append_item_to_script(words.front(), known);
    parameters_ = places_of(script_);
    words_ = {{{"/bin/sh"}}, {{"-c"}}, {{script_taking(parameters_, script_)}}, {{"sh"}}};
    for (const place& p : parameters_) words_.push_back({{{}, true, p}});
    const bool has_place = std::any_of(script_.begin(), script_.end(), [](const piece& p) { return p.is_place; });
    if (takes_item && !has_place && uses_arguments(words.front(), "1@*")) words_.push_back({{{}, true, {}}});
    return;
  }
  read_words(words, how, takes_item, known);
}

void command_template::read_words(const std::vector<std::string>& words, wording how, bool takes_item,
                                  const input_columns& known) {
  bool used = false;
  for (const std::string& word : words) {
    if (word.find("PENSTOCK_") != word.npos) used = true;
    for (const piece& p : read(word, known, false)) used = used || p.is_place;
  }
  const auto reader_before = [&](std::size_t i) { return reader_of_next(std::span(words).first(i)); };
  for (std::size_t i = 0; i < words.size(); ++i) {
    constexpr std::array<std::string_view, 8> operators{"|", "||", "&&", "&", ">", ">>", "<", "2>"};
    if (how == wording::automatic && std::find(operators.begin(), operators.end(), words[i]) != operators.end())
      throw template_error("\"" + words[i] + "\" would go to " + words.front() +
                           " as a word: put the whole command in quotes if a shell is to read it, or say --argv");
    const code_reader reader = reader_before(i);
    pieces made = read(words[i], known, false);
    const bool whole = made.size() == 1 && made.front().is_place;
    if (reader.takes_arguments && !whole) {
      // sh -c '… {} …': a script after all, wherever it stands (nice, sudo, env). Its values come behind its $0.
      made = read(words[i], known, true);
      const std::vector<place> values = places_of(made);
      parameters_.insert(parameters_.end(), values.begin(), values.end());
      words_.push_back({{script_taking(values, made)}});
      if (values.empty()) continue;
      const bool of_find =
          std::any_of(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(i),
                      [](const std::string& w) { return w.starts_with("-exec") || w.starts_with("-ok"); });
      const bool has_name = i + 1 < words.size() && !(of_find && (words[i + 1] == ";" || words[i + 1] == "+"));
      words_.push_back(has_name ? read(words[++i], known, false) : pieces{{"sh"}});
      for (const place& p : values) words_.push_back({{{}, true, p}});
      continue;
    }
    for (piece& p : made) {
      if (p.is_place) {
        const bool is_meant = !is_text(p.place) || (whole && reader.begins);
        if (!is_meant) refuse_code(reader, "a place");
        if (is_text(p.place)) refuse_code(reader_of_joined(std::span(words).first(i), words[i]), "a place");
      } else if (reader.is != code_reader::kind::none) {
        p.text = with_loud_variables(p.text);
      }
    }
    words_.push_back(std::move(made));
  }
  for (const pieces& word : words_)
    for (const piece& p : word)
      if (!p.is_place) add_parameters_named(p.text, parameters_);
  if (used || !takes_item) return;
  // The item is the last word.
  const code_reader reader = reader_before(words.size());
  if (!reader.begins) refuse_code(reader, "the item");
  // Of a script that has no name yet, it is the first argument and not the name.
  if (words.size() > 1 && reader_before(words.size() - 1).takes_arguments &&
      (uses_arguments(words.back(), of_arguments) || !uses_arguments(words.back(), "0")))
    words_.push_back({{"sh"}});
  words_.push_back({{{}, true, {}}});
}

void command_template::append_item_to_script(const std::string& script_text, const input_columns& known) {
  for (const piece& p : script_)
    if (p.is_place || p.text.find("PENSTOCK_") != std::string::npos || uses_arguments(p.text, "1@*")) return;
  // Behind what ends a command it would be one of its own.
  std::string script = script_text;
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
  script += " {}";
  script_ = read(script, known, true);
}

bool command_template::uses(place::what value) const noexcept { return asks_for(value); }

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

process::command command_template::made_for(const place_values& v, std::vector<std::string> before) const {
  for (const std::string_view text : {v.item, v.in, v.out})
    if (text.find('\0') != text.npos) throw value_error("has a zero byte, which no program can be given");
  std::vector<std::string> words = std::move(before);
  words.reserve(words.size() + words_.size());
  for (const pieces& word : words_) {
    std::string& made = words.emplace_back();
    for (const piece& p : word) made += p.is_place ? value_of(p.place, v) : p.text;
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
  if (!is_typed_plainly()) {
    std::string text;
    for (const pieces& word : words_) {
      std::string made;
      for (const piece& p : word) made += p.is_place ? value_of(p.place, v) : p.text;
      text += (text.empty() ? "" : " ") + process::shell_quoted(made);
    }
    return text;
  }
  std::string text;
  for (const piece& p : script_) text += p.is_place ? typed(value_of(p.place, v), p.place.within) : p.text;
  return text;
}

// The script can be typed with the values in it: each is one quoted word or a part of one, and nothing of the script needs
// the arguments, or would last longer than it in the shell where it is typed.
bool command_template::is_typed_plainly() const {
  if (!shell_) return false;
  std::string script;
  for (const piece& p : script_) {
    if (p.is_place && p.place.within == place::quoting::here_document) return false;
    script += p.is_place ? "x" : p.text;
  }
  if (script.find('`') != script.npos || script.find("${") != script.npos || script.find('#') != script.npos ||
      script.find("PENSTOCK_") != script.npos || uses_arguments(script, "0123456789@*#"))
    return false;
  const auto positions = script_quoting(script);
  for (const script_command& c : commands_of(script, positions).commands) {
    const auto words = c.arguments();
    if (words.empty()) continue;
    constexpr std::array<std::string_view, 16> lasting{"cd",    "exit", "set",   "export", "unset",  "trap",
                                                       "umask", "exec", "shift", "alias",  "ulimit", "return",
                                                       "read",  "eval", ".",     "pushd"};
    if (std::find(lasting.begin(), lasting.end(), words.front()) != lasting.end() ||
        words.front().find('=') != std::string::npos)
      return false;
  }
  return true;
}

}  // namespace penstock::runner
