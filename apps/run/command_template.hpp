// command_template: a command with places for values: what is typed once and executed for each item.
//
//   command_template convert({"convert {} -resize 50% {.}.png"}, wording::automatic, {});
//   process::command what = convert.made_for({.item = "a b.jpg", ...});
//
// PLACES   {} the item, {in} the original one, {out} what the stage before printed last, {1} {2} … {name} columns; each
//          with a suffix: . without its extension, / its name without directory, // its directory, /. its name without
//          extension: {.} {1/} {in/.}. {#} the item's number, {%} the worker's. {{…}} around a place means its text.
//          Without any, the item is the command's last word.
// SAFE     A value never becomes text of a script. A script gets it as an argument behind $0, its first words assign it
//          to a variable and shift it off, and a place expands that variable, quoted:
//              rm {}   →   sh -c 'PENSTOCK_ITEM=${1?}; shift; rm "${PENSTOCK_ITEM?}"' sh VALUE
//          The quotes around a place are looked at, so that it is one word. Arguments get through sudo, env -i, docker
//          exec and the like, which drop the environment; and ${…?} ends the script where a value is missing after all.
//          The same happens to the script of a shell among several words: sudo sh -c 'rm {}'.
//          Where another program would read a value as code (inner_code.hpp), the template is refused.
// $1       In a script of one word without a place, "$1" is the item; with one, there is no $1, because values are shifted
//          off. In the script of a shell among several words, $1 $2 $@ are what stands behind it, as always:
//          sh -c 'rm {} "$1"' sh more. PENSTOCK_ITEM and its like are in the environment of every command besides.
// SHELL    One word is a script for /bin/sh, and executed without one if no character or first word in it needs one.
//          Several words are executed as they are.
// ERRORS   template_error says what is wrong with a template, and what to write instead.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/process/command.hpp>

#include "apps/run/plan.hpp"

namespace penstock::runner {

class template_error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};
// A value that an item has not got, or that no program can be given.
class value_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What the places stand for. REQUIRES: what is referred to lives as long as this.
struct place_values {
  std::string_view item{}, in{}, out{}, number{}, stage{};
  std::size_t slot = 1;
  unsigned attempt = 1;
  const std::vector<std::string>* columns = nullptr;
};

// A place, and where in the template it stands.
struct place {
  enum class what : std::uint8_t { item, in, out, number, slot, column };
  enum class part : std::uint8_t { whole, stem, name, directory, name_stem };
  // How the text around it is quoted.
  enum class quoting : std::uint8_t { none, single_quotes, double_quotes, here_document };
  what of = what::item;
  part which = part::whole;
  std::size_t column = 0;  // from 1
  quoting within = quoting::none;
};

class command_template {
 public:
  // columns: their names, where the input has named ones. several_columns: {2} is a place, not text.
  struct input_columns {
    std::vector<std::string> names{};
    bool several = false;
  };
  // takes_item: without a place for it, the item is the last word.
  command_template(std::vector<std::string> words, wording how, const input_columns& columns, bool takes_item = true);

  // before: words in front of it, of a program that starts it.
  [[nodiscard]] process::command made_for(const place_values& values, std::vector<std::string> before = {}) const;
  // As it could be typed into a shell; for people.
  [[nodiscard]] std::string text_for(const place_values& values) const;
  // As it was written; for what must tell one template from another.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] bool uses(place::what value) const noexcept;
  [[nodiscard]] bool uses_shell() const noexcept { return shell_; }
  // It has a place for it.
  [[nodiscard]] bool asks_for(place::what value) const noexcept;
  // Any place but {%}.
  [[nodiscard]] bool uses_items() const noexcept;
  // The program, if it is the same for all items and no shell starts it; else empty.
  [[nodiscard]] std::string program() const;

 private:
  // A word, or a script: text, place, text, place … text.
  struct piece {
    std::string text;
    bool is_place = false;
    runner::place place{};
  };
  using pieces = std::vector<piece>;

  static pieces read(std::string_view text, const input_columns& known, bool is_script);
  static std::vector<place> places_of(const pieces& script);
  static std::string script_taking(const std::vector<place>& values, const pieces& script);
  void read_words(const std::vector<std::string>& words, wording how, bool takes_item, const input_columns& known);
  void append_item_to_script(const std::string& script_text, const input_columns& known);
  [[nodiscard]] bool is_typed_plainly() const;

  std::string text_;
  bool shell_ = false;
  pieces script_;                  // of a shell's: as it was written
  std::vector<pieces> words_;      // as they are executed
  std::vector<place> parameters_;  // all places in scripts
};

// The part of a path that a place's suffix asks for.
[[nodiscard]] std::string part_of(std::string_view path, place::part which);

}  // namespace penstock::runner
