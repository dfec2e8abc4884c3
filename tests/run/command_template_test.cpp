// A template: what is a place, what needs a shell, and that a value is never code.
#include "apps/run/command_template.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "apps/run/script_quoting.hpp"

namespace penstock::runner {
namespace {

command_template made(std::vector<std::string> words, wording how = wording::automatic,
                      command_template::input_columns columns = {}) {
  return {std::move(words), how, columns};
}
std::vector<std::string> words_for(const command_template& t, const std::string& item) {
  return t.made_for({.item = item, .in = item, .number = "7", .slot = 2}).words();
}
using words = std::vector<std::string>;
// The script of a shell's command, behind the assignments of its values.
std::string script_of(const words& command) {
  const auto option =
      std::find_if(command.begin(), command.end(), [](const std::string& w) { return w.ends_with('c'); });
  const std::string& script = *(option + 1);
  const auto shift = script.find("; shift");
  return shift == script.npos ? script : script.substr(script.find("; ", shift + 2) + 2);
}

TEST(command_template, one_word_without_anything_for_a_shell_is_executed_directly) {
  EXPECT_EQ(words_for(made({"gzip -9 {}"}), "a b"), (words{"gzip", "-9", "a b"}));
  EXPECT_EQ(words_for(made({"gzip -9"}), "a b"), (words{"gzip", "-9", "a b"}));
  EXPECT_EQ(words_for(made({"x{.}y {#}-{%}"}), "d/a.b"), (words{"xd/ay", "7-2"}));
  for (const char* direct : {"true", "grep a{b} {}", "x=y.txt", "a-b +c @d %e ^f"})
    EXPECT_EQ(made({direct}).uses_shell(), std::string(direct) == "x=y.txt") << direct;
}

TEST(command_template, one_word_with_something_for_a_shell_gets_one) {
  for (const char* shell : {"a; b", "a | b", "a >{}", "echo $HOME", "a *", "'a' {}", "\"a\"", "a\nb", "cd /tmp",
                            "exit 3", "X=1 cmd", "! true", "~/x", "a {} # b"})
    EXPECT_TRUE(made({shell}).uses_shell()) << shell;
  EXPECT_EQ(words_for(made({"echo {}; true"}), "$(x)"),
            (words{"/bin/sh", "-c", "PENSTOCK_ITEM=${1?}; shift; echo \"${PENSTOCK_ITEM?}\"; true", "sh", "$(x)"}));
}

TEST(command_template, several_words_are_executed_as_they_are) {
  EXPECT_EQ(words_for(made({"printf", "%s;%s", "{}", "{/}"}), "a/b c"), (words{"printf", "%s;%s", "a/b c", "b c"}));
  EXPECT_EQ(words_for(made({"a b"}, wording::argv), "i"), (words{"a b", "i"}));
  EXPECT_EQ(words_for(made({"a", ">", "b"}, wording::argv), "i"), (words{"a", ">", "b", "i"}));
  EXPECT_THROW(made({"a", ">", "b"}), template_error);
  EXPECT_TRUE(made({"a", ">", "b"}, wording::shell).uses_shell());
}

TEST(command_template, a_script_for_a_shell_among_the_words_is_a_script) {
  EXPECT_EQ(words_for(made({"nice", "bash", "-c", "echo {} '{.}'"}), "$(x).y"),
            (words{"nice", "bash", "-c",
                   "PENSTOCK_ITEM=${1?} PENSTOCK_ITEM_STEM=${2?}; shift 2; echo \"${PENSTOCK_ITEM?}\" "
                   "''\"${PENSTOCK_ITEM_STEM?}\"''",
                   "sh", "$(x).y", "$(x)"}));
  // Exactly the item: then code is what is asked for.
  EXPECT_EQ(words_for(made({"sh", "-c", "{}"}), "echo x"), (words{"sh", "-c", "echo x"}));
}

TEST(command_template, quotes_around_a_place_are_seen) {
  const auto script = [](const char* text) { return script_of(words_for(made({text}, wording::shell), "i")); };
  EXPECT_EQ(script("a '{}'"), "a ''\"${PENSTOCK_ITEM?}\"''");
  EXPECT_EQ(script("a \"{}\""), "a \"${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("a \"$(b {})\""), "a \"$(b \"${PENSTOCK_ITEM?}\")\"");
  EXPECT_EQ(script("a \\\"{}"), "a \\\"\"${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("a # it's\nb {}"), "a # it's\nb \"${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("a#'{}'"), "a#''\"${PENSTOCK_ITEM?}\"''");
  EXPECT_EQ(script("cat <<X\n'{}\nX\nb {}"), "cat <<X\n'${PENSTOCK_ITEM?}\nX\nb \"${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("cat <<-'X'\n'a\n\tX\nb {}"), "cat <<-'X'\n'a\n\tX\nb \"${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("echo ${1} {#}"), "echo ${1} \"${PENSTOCK_SEQ?}\"");
}

TEST(command_template, values_that_would_be_code_are_refused) {
  for (const char* text : {"bash -c '{}'", "sh -ec \"a {}\"", "eval 'x {}'", "echo $((1 + {}))", "cat <<'X'\n{}\nX\n"})
    EXPECT_THROW(made({text}), template_error) << text;
  EXPECT_NO_THROW(made({"echo $((1 + {#}))"}));
}

TEST(command_template, whoever_reads_it_again) {
  for (const char* text : {"bash -e -c 'a {}'",
                           "bash -euo pipefail -c 'a {}'",
                           "sh -c -- 'a {}'",
                           "sh -c -e \"a {}\"",
                           "bash -c \\\n 'a {}'",
                           "sh -c 'a '{}",
                           "sh -c a\\ {}",
                           "x=$(date); sh -c 'a {}'",
                           "sh -c '$(date) {}'",
                           "eval a {}",
                           "eval \"$x\" {}",
                           "X=1 eval 'a {}'",
                           "a && eval a {}",
                           "trap 'rm {}' EXIT; a",
                           "su -c 'a {}'",
                           "su - x -c 'a {}'",
                           "flock /l -c 'a {}'",
                           "ssh nas 'rm {}'",
                           "ssh nas rm {}",
                           "ssh -p 22 nas rm {}",
                           "ssh nas -p 22 'rm {}'",
                           "ssh -p22 -v nas rm {.} >x",
                           "sudo -u a ssh nas \"rm {}\"",
                           "tar c . | ssh nas 'tar x -C {}'",
                           "echo $(ssh nas 'ls {}')",
                           "echo `ssh nas 'ls {}'`",
                           "if a; then ssh b c {}; fi",
                           "echo \"$(ssh nas \"ls {}\")\"",
                           "ssh nas rm; true | ssh nas rm"})
    EXPECT_THROW(made({text}, wording::shell), template_error) << text;
  EXPECT_THROW(made({"ssh", "nas", "rm", "{}"}), template_error);
  EXPECT_THROW(made({"ssh", "nas", "rm"}), template_error);
  EXPECT_THROW(made({"su", "-c", "rm {}"}), template_error);
  EXPECT_EQ(script_of(words_for(made({"bash", "-eo", "pipefail", "-c", "a {}"}), "i")), "a \"${PENSTOCK_ITEM?}\"");
  // What is no code, and what is meant.
  for (const char* text : {"ssh {} uptime",
                           "ssh -p 22 {} uptime >{}.log",
                           "ssh {} uptime 2>&1 > '{}'",
                           "ssh nas {}",
                           "ssh nas",
                           "sh -c {}",
                           "sh -c 'echo \"$1\"' sh {}",
                           "sh -c 'x;y' sh '{}'",
                           "bash -o '{}' a",
                           "sh '{}'",
                           "eval {}",
                           "grep -r eval {}",
                           "grep ssh a {}",
                           "cp ssh a '{}'",
                           "trap 'rm x' EXIT; a {}",
                           "eval a; b {}",
                           "(eval a) ; b {}",
                           "echo $(eval a) {}",
                           "printf '%s' {} | ssh nas 'xargs rm --'",
                           "ssh nas 'a {#}'",
                           "flock /l a {}",
                           "ssh nas a >{}",
                           "ssh nas a <'{}'",
                           "ssh nas $(a {}) # b",
                           "case {} in a) b {};; esac"})
    EXPECT_NO_THROW(made({text}, wording::shell)) << text;
}

TEST(command_template, a_value_is_an_argument_of_the_script_that_uses_it) {
  // Behind the script's $0, before the arguments that it has besides.
  EXPECT_EQ(words_for(made({"sudo", "sh", "-c", "rm {}", "me", "{/}", "x"}), "d/a"),
            (words{"sudo", "sh", "-c", "PENSTOCK_ITEM=${1?}; shift; rm \"${PENSTOCK_ITEM?}\"", "me", "d/a", "a", "x"}));
  EXPECT_EQ(words_for(made({"find", "{}", "-exec", "sh", "-c", "a {}", ";"}), "i").back(), ";");
  EXPECT_EQ(words_for(made({"env", "-i", "sh", "-c", "rm d/$PENSTOCK_ITEM"}), "i"),
            (words{"env", "-i", "sh", "-c", "PENSTOCK_ITEM=${1?}; shift; rm d/${PENSTOCK_ITEM?}", "sh", "i"}));
  // Without a place: the item is $1, and not $0.
  EXPECT_EQ(words_for(made({"sudo", "sh", "-c", "rm \"$1\""}), "i"),
            (words{"sudo", "sh", "-c", "rm \"$1\"", "sh", "i"}));
  EXPECT_EQ(words_for(made({"sh", "-c", "rm \"$0\""}), "i"), (words{"sh", "-c", "rm \"$0\"", "i"}));
  EXPECT_EQ(words_for(made({"rm d/\"$1\""}), "i"), (words{"/bin/sh", "-c", "rm d/\"$1\"", "sh", "i"}));
  // Where the variable may be lost it ends the shell.
  EXPECT_EQ(words_for(made({"su", "-c", "rm d/$PENSTOCK_ITEM"}), "i").back(), "rm d/${PENSTOCK_ITEM?}");
  EXPECT_EQ(script_of(words_for(made({"sudo sh -c 'rm d/$PENSTOCK_ITEM'"}), "i")),
            "sudo sh -c 'rm d/${PENSTOCK_ITEM?}'");
  EXPECT_THROW(made({"sudo sh -c 'rm d/${PENSTOCK_ITEM%.*}'"}), template_error);
  EXPECT_NO_THROW(made({"rm d/${PENSTOCK_ITEM%.*}"}));
}

TEST(command_template, a_value_does_not_become_code_on_its_way_through_a_script) {
  for (const char* text : {"echo 'echo {}' | sh",
                           "printf 'rm %s\n' {} | cat | sudo sh",
                           "{ echo a; echo {}; } | bash -s",
                           "(echo {}) | sh",
                           "for i in 1; do echo {}; done | sh",
                           "sh <<E\necho {}\nE",
                           "cat <<E | ssh nas\necho {}\nE",
                           "echo rm {} | xargs -I% sh -c %",
                           "echo rm {} | at now",
                           "echo \"select '{}'\" | sqlite3 db",
                           "x='echo {}'; eval \"$x\"",
                           "x={}; y=$x.z; sh -c \"rm $y\"",
                           "for x in {}; do eval \"rm $x\"; done",
                           "echo {} | while read -r x; do eval \"rm $x\"; done",
                           "f() { eval \"rm $1\"; }; f {}",
                           "tmp=/tmp/{}; trap \"rm $tmp\" EXIT",
                           "sh -c \"$(printf 'rm %s' {})\"",
                           "sh -c \"rm $PENSTOCK_ITEM\"; : {}",
                           "n={}; echo $((n + 1))",
                           "n={}; echo $(( $n + 1 ))",
                           "trap -- 'echo {}' EXIT",
                           "$SHELL -c 'echo {}'",
                           "\"$SHELL\" -ec 'echo {}'",
                           "${SHELL:-sh} -c 'echo {}'",
                           "env -S \"sh -c 'echo {}'\"",
                           "sg root -c 'echo {}'",
                           "penstock run 'echo {}' ::: 1",
                           "/usr/bin/parallel 'echo {}' <x",
                           "tmux new-session -d 'echo {}'",
                           "watch 'ls {}'",
                           "git -c alias.z='!echo {}' z",
                           "git rebase --exec 'make {}'",
                           "git submodule foreach 'ls {}'",
                           "GIT_SSH_COMMAND='ssh -i {}' git fetch",
                           "alias x='echo {}'",
                           "tar x --to-command='cat >{}'",
                           "python3 -c 'print(\"{}\")'",
                           "perl -lne 'print \"{}\"'",
                           "perl -I lib -e 'print q({})'",
                           "awk -v a=1 '{ print \"{}\" }' f",
                           "find . -exec sh -c 'rm {}' \\;",
                           "xargs sh -c 'rm {}'",
                           "docker exec c bash -c 'rm {}'",
                           "ssh nas sh -c {}",
                           "fish -c 'rm {}'",
                           "bash -c 'eval \"$1\"' _ 'rm {}'",
                           "sh -c 'sh -c \"rm $1\"' sh {}",
                           ": ${x:={}}; eval \"rm $x\"",
                           "cat <<E\n$(eval rm {})\nE",
                           "BASH_ENV=x{} bash f",
                           "make DIR={}",
                           "vim -c '!rm {}'",
                           "ssh -oProxyCommand='nc {}' x",
                           "su -c'rm {}'",
                           "perl -ne'print q({})'",
                           "env -S'sh -c {}'",
                           "x=$(cat <<E\n{}\nE\n); eval \"rm $x\"",
                           "ed f <<E\n!rm {}\nE"})
    EXPECT_THROW(made({text}, wording::shell), template_error) << text;
  for (const words& command : std::vector<words>{{"ssh", "nas", "sh", "-c", "rm {}"},
                                                 {"env", "-S", "sh -c 'rm {}'"},
                                                 {"su", "x", "-c", "rm {}"},
                                                 {"parallel", "rm {}"},
                                                 {"awk", "{ print \"{}\" }"},
                                                 {"fish", "-c", "rm {}"},
                                                 {"sh", "-c", "sh -c 'rm {}'"},
                                                 {"python3", "-c", "print('{}')"}})
    EXPECT_THROW(made(command), template_error) << command.front();
  EXPECT_THROW(made({"ssh nas rm {}"}), template_error);  // needs no shell here
  for (const char* text :
       {"printf '%s\\0' {} | ssh nas 'xargs -0 rm --'", "echo {} | python3 f.py", "cat {} | sh",
        "eval \"$(ssh-agent)\"; scp {} nas:", "tmp=$(mktemp -d); trap \"rm -r $tmp\" EXIT; cp {} $tmp",
        "tmp=/tmp/{}; trap 'rm \"$tmp\"' EXIT", "n=$(wc -l <{}); echo $((n + 1))", "awk '{ print $1 }' {}",
        "awk -v n=1 -F: '{ print }' {}", "python3 f.py -c {}", "perl -pi -e 's/a/b/' {}",
        "python3 -c 'import sys; print(sys.argv[1])' {}", "git commit -m 'add {}' {}", "parallel echo {{}} ::: {}",
        "echo 'sh -c {}'", "grep -c 'sh {}' f", "psql -f {}", "seq 3 | sed s/^/{}:/"})
    EXPECT_NO_THROW(made({text}, wording::shell)) << text;
}

TEST(command_template, an_item_without_a_place_is_no_command) {
  for (const char* text : {"a;", "a &", "a |", "a && ", "a # b", "cat <<X\nx\nX", "{ a; }", "if a; then b; fi",
                           "for i in 1; do a; done", "\n"})
    EXPECT_THROW(made({text}, wording::shell), template_error) << text;
  const auto script = [](const char* text) { return script_of(words_for(made({text}, wording::shell), "i")); };
  EXPECT_EQ(script("a; b\n\n"), "a; b \"${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("cat <<X\nx\nX\nb"), "cat <<X\nx\nX\nb \"${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("a \\;"), "a \\; \"${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("a ';'"), "a ';' \"${PENSTOCK_ITEM?}\"");
}

TEST(command_template, a_backslash_before_a_place) {
  const auto script = [](const char* text) { return script_of(words_for(made({text}, wording::shell), "i")); };
  EXPECT_EQ(script("find {} -exec a \\{} \\;"), "find \"${PENSTOCK_ITEM?}\" -exec a \\{} \\;");
  EXPECT_EQ(script("a \"C:\\{}\""), "a \"C:\\\\${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("a \\\\{}"), "a \\\\\"${PENSTOCK_ITEM?}\"");
  EXPECT_EQ(script("a 'C:\\{}'"), "a 'C:\\'\"${PENSTOCK_ITEM?}\"''");
}

TEST(command_template, columns_are_places_where_there_are_columns) {
  const std::vector<std::string> columns{"one", "two/x.y"};
  const auto of = [&](const command_template& t) {
    return t.made_for({.item = "i", .in = "i", .columns = &columns}).words();
  };
  EXPECT_EQ(of(made({"a", "{2}", "{1}", "{2/.}"}, wording::argv, {{}, true})), (words{"a", "two/x.y", "one", "x"}));
  EXPECT_EQ(of(made({"a", "{who}{2}{nobody}"}, wording::argv, {{"id", "who"}, true})),
            (words{"a", "two/x.ytwo/x.y{nobody}"}));
  EXPECT_THROW(of(made({"a", "{3}"}, wording::argv, {{}, true})), value_error);
  EXPECT_EQ(of(made({"a", "x{3}"})), (words{"a", "x{3}", "i"}));
  EXPECT_EQ(words_for(made({"a", "{1}"}), "i"), (words{"a", "i"}));
}

TEST(command_template, a_place_can_be_meant_as_text) {
  EXPECT_EQ(words_for(made({"a", "{{}}", "{}", "{{.}}", "{{x}}"}), "i"), (words{"a", "{}", "i", "{.}", "{{x}}"}));
}

TEST(command_template, knows_what_it_uses) {
  EXPECT_TRUE(made({"a {out}"}).uses(place::what::out));
  EXPECT_TRUE(made({"a $PENSTOCK_OUT {}"}).uses(place::what::out));
  EXPECT_TRUE(made({"a {out/.}"}).uses(place::what::out));
  EXPECT_FALSE(made({"a {}"}).uses(place::what::out));
  EXPECT_EQ(made({"gzip {}"}).program(), "gzip");
  EXPECT_EQ(made({"gzip {}; x"}).program(), "");
  EXPECT_EQ(made({"{}", "x"}).program(), "");
}

TEST(command_template, a_zero_byte_is_no_value) {
  EXPECT_THROW((void)words_for(made({"a {}"}), std::string("a\0b", 3)), value_error);
}

TEST(script_quoting, never_fails_whatever_the_script) {
  // Everything of a few characters that mean something: it ends, and says something for each character.
  const std::string_view letters = "'\"\\$(){}`<#\n a";
  std::string script(5, ' ');
  for (std::size_t n = 0; n < letters.size() * letters.size() * letters.size() * letters.size() * letters.size(); ++n) {
    std::size_t rest = n;
    for (char& c : script) {
      c = letters[rest % letters.size()];
      rest /= letters.size();
    }
    ASSERT_EQ(script_quoting(script).size(), script.size()) << script;
  }
}

TEST(command_template, never_fails_but_with_a_word_on_it_whatever_the_script) {
  const std::vector<std::string> parts{"'",     "\"",    "\\",  "$(", ")",    "`",     "${x:=", "}",  "|",
                                       "<<E\n", "\nE\n", "$((", "#",  " sh ", "echo ", "x=",    "$x", "{} "};
  for (std::size_t n = 0; n < parts.size() * parts.size() * parts.size() * parts.size(); ++n) {
    std::string script;
    for (std::size_t rest = n, i = 0; i < 4; ++i, rest /= parts.size()) script += parts[rest % parts.size()];
    try {
      (void)made({script + "{}"}, wording::shell);
      (void)made({script, "{}", "sh", "-c", script});
    } catch (const template_error&) {
      continue;
    }
  }
}

}  // namespace
}  // namespace penstock::runner
