"""All mutants of a file in one source, each behind a switch: what a mutant changes is there twice, as it was and as the mutant has it, and which of the
two runs is decided when the program does (PENSTOCK_MUTANT). So a test program is compiled once and not once per mutant.

A mutant is put into the smallest unit of code that can be there twice:

    statement     x = f(a);             { if (MUTANT(7)) { x = g(a); } else { x = f(a); } }
    condition     if (a < b) ...        if (MUTANT(8) ? static_cast<bool>(a <= b) : static_cast<bool>(a < b)) ...
    initialiser   const auto n = a + 1; const auto n = MUTANT(9) ? (a) : (a + 1);
    loop          while (c) ...         for (bool once = true; (once || !MUTANT(10)) && (c); once = false) ...

The lines keep their numbers, so that a compiler's error tells which unit it does not like. What fits in no unit (declarations, constants, lists of
initialisers, if constexpr) has to be compiled apart.
"""
import bisect
import collections
import re

Unit = collections.namedtuple("Unit", "kind start end")
Change = collections.namedtuple("Change", "id start end text")  # in the whole text


def blanked(text, strings=True):
    """Comments, and strings and characters, as spaces; columns and lines stay."""
    def blank(match):
        if not strings and match.group(0)[0] in "\"'":
            return match.group(0)
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])\'', blank, text, flags=re.S)


class Source:
    def __init__(self, text):
        self.text = text
        self.code = blanked(text)
        self.plain = blanked(text, strings=False)
        self.around = [-1] * len(text)  # where the innermost bracket opens that a character is in
        self.closed_at = {}
        stack = []
        for i, c in enumerate(self.code):
            if c in ")]}" and stack:
                self.closed_at[stack.pop()] = i
            self.around[i] = stack[-1] if stack else -1
            if c in "([{":
                stack.append(i)
        self.starts = [0]
        for i, c in enumerate(text):
            if c == "\n":
                self.starts.append(i + 1)

    def line_of(self, position):
        return bisect.bisect_right(self.starts, position)

    def change_of(self, mutant, number):
        """The least part of the line that differs, as positions in the text."""
        old, new = mutant.old, mutant.new
        first = 0
        while first < min(len(old), len(new)) and old[first] == new[first]:
            first += 1
        last = 0
        while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
            last += 1
        begin = self.starts[mutant.line - 1]
        return Change(number, begin + first, begin + len(old) - last, new[first: len(new) - last])

    # --- where a change belongs ---

    def unit_of(self, change, to_if):
        """The unit, or None."""
        at = change.start
        while True:
            opening = self.around[at] if at < len(self.text) else -1
            if opening == -1:
                return None
            if self.code[opening] == "{":
                if self.is_body(opening):
                    unit = self.statement(opening, at)
                    break
            elif self.code[opening] == "(":
                word = re.search(r"\b(if constexpr|if|while|for|switch|catch|noexcept|decltype|requires)\s*$", self.code[max(0, opening - 20): opening])
                if word:
                    unit = self.condition(word.group(1), opening, at)
                    break
            at = opening
        if to_if:
            return None
        return unit if unit and unit.start <= change.start and change.end <= unit.end else None

    def loop_of(self, change):
        """The whole head of the while loop that a change of `while` to `if` is about."""
        opening = self.code.find("(", change.start)
        inside = self.code[opening + 1: self.closed_at.get(opening, opening)]
        if opening < 0 or self.declares(inside) or ";" in inside:
            return None
        return Unit("loop", change.start, self.closed_at[opening] + 1)

    def at_level(self, opening, first, last, characters):
        return [i for i in range(first, last) if self.code[i] in characters and self.around[i] == opening]

    def is_body(self, opening):
        """Whether braces hold statements: of a function, a lambda, or a block in one."""
        end = self.closed_at.get(opening)
        if end is None or not self.at_level(opening, opening + 1, end, ";"):
            return False
        head = self.code[max(0, opening - 400): opening]
        head = re.split(r"[;{}]", head)[-1]
        return ")" in head or not re.search(r"\b(class|struct|union|enum|namespace)\b", head)

    @staticmethod
    def declares(code):
        return bool(re.match(r"\s*(const|auto|static)\b", code) or re.search(r"[\w>][&*]* [&*]*\w+ = ", code))

    def condition(self, word, opening, at):
        end = self.closed_at.get(opening)
        if end is None or word not in ("if", "while", "for"):
            return None
        parts = [opening, *self.at_level(opening, opening + 1, end, ";"), end]
        if word == "for" and len(parts) != 4:
            return None
        part = next(p for p in range(len(parts) - 1) if parts[p] < at + 1 <= parts[p + 1] + 1)
        first, last = parts[part] + 1, parts[part + 1]
        if word == "for" and part == 0:
            return self.initialiser(opening, first, last)
        if word == "for" and part == 2:
            return Unit("step", first, last)
        if word != "for" and part != len(parts) - 2:
            return None
        return None if self.declares(self.code[first:last]) else Unit("condition", first, last)

    def initialiser(self, opening, first, last):
        for i in self.at_level(opening, first, last, "="):
            if self.code[i + 1] == " " and self.code[i - 1] == " ":
                value = self.code[i + 1: last].strip()
                return None if not value or value[0] in "{[" else Unit("initialiser", i + 1, last)
        return None

    def statement(self, opening, at):
        start = opening + 1
        for i in range(at - 1, opening, -1):
            if self.around[i] != opening:
                continue
            if self.code[i] == ";":
                start = i + 1
                break
            if self.code[i] == "}" and not re.match(r"\s*[;,.()\]?:+*/<>=&|-]", self.code[i + 1:]):
                start = i + 1
                break
        ends = self.at_level(opening, at, self.closed_at[opening], ";")
        if not ends:
            return None
        end = ends[0] + 1
        while True:
            head = re.match(r"\s*(?:case\s+[\w:]*\w\s*:(?!:)|default\s*:|else\b|do\b|\[\[\w+\]\])", self.code[start:end])
            if head:
                start += head.end()
                continue
            head = re.match(r"\s*(?:if|while|for|switch)\s*(?:constexpr\s*)?\(", self.code[start:end])
            if not head:
                break
            close = self.closed_at.get(start + head.end() - 1)
            if close is None or close > at:
                return None
            start = close + 1
        code = self.code[start:end]
        start += len(code) - len(code.lstrip())
        code = code.strip()
        if start > at or re.match(r"(using|static_assert|static|constexpr|typedef|struct|class|template|friend|\{|\}|#|public|private|protected)", code):
            return None
        if re.match(r"(return|throw|break|continue|co_return|co_await|delete|\+\+|--|\*|\()", code):
            return Unit("statement", start, end)
        of_type = re.match(r"(?:const|auto|mutable|thread_local|volatile|unsigned|typename)\b|[\w:]+(?:<[^;=]*>)?(?:::\w+)*(?:[&*]* |[&*]+)[&*]*[\w\[]", code)
        if of_type:
            return self.initialiser(opening, start, end - 1)
        return Unit("statement", start, end)

    # --- how it is written ---

    def with_switches(self, changes_of):
        """changes_of: {unit: [change]}. The whole text."""
        units = sorted(changes_of, key=lambda u: (u.start, -u.end))
        return self.rendered(0, len(self.text), units, changes_of)

    def rendered(self, start, end, units, changes_of):
        out, at = [], start
        while units:
            unit, units = units[0], units[1:]
            inner = [u for u in units if u.end <= unit.end]
            units = [u for u in units if u.end > unit.end]
            if unit.start < at:  # they overlap: the earlier one wins
                continue
            out.append(self.text[at: unit.start])
            out.append(self.switched(unit, changes_of[unit], self.rendered(unit.start, unit.end, inner, changes_of)))
            at = unit.end
        out.append(self.text[at:end])
        return "".join(out)

    def switched(self, unit, changes, as_it_was):
        def changed(change):
            text = self.plain[unit.start: change.start] + change.text + self.plain[change.end: unit.end]
            return " ".join(text.split())

        if unit.kind == "loop":
            head = as_it_was[as_it_was.index("(") + 1: -1]
            number = changes[0].id
            return f"for (bool once_{number} = true; (once_{number} || !MUTANT({number})) && ({head}); once_{number} = false)"
        if unit.kind == "statement":
            return "{ " + "".join(f"if (MUTANT({c.id})) {{ {changed(c)} }} else " for c in changes) + "{ " + as_it_was + " } }"
        cast = {"condition": "static_cast<bool>", "step": "static_cast<void>", "initialiser": ""}[unit.kind]
        return " " + "".join(f"MUTANT({c.id}) ? {cast}({changed(c)}) : " for c in changes) + f"{cast}({as_it_was})"


SUPPORT_HEADER = """#pragma once
#include <type_traits>
namespace penstock_mutation {
extern unsigned chosen;
extern bool recording;
extern unsigned char reached[];
[[gnu::always_inline]] inline bool at(unsigned number) noexcept {
  if (recording) [[unlikely]]
    __atomic_store_n(&reached[number], 1, __ATOMIC_RELAXED);  // by any thread; the thread sanitizer looks on
  return chosen == number;
}
}  // namespace penstock_mutation
[[gnu::always_inline]] constexpr bool MUTANT(unsigned number) noexcept { return !std::is_constant_evaluated() && penstock_mutation::at(number); }
"""
# For each test that ends: its seconds and the mutants it came by.
SUPPORT_SOURCE = """#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
namespace penstock_mutation {
unsigned char reached[%(count)d];
unsigned chosen = std::getenv("PENSTOCK_MUTANT") ? static_cast<unsigned>(std::atoi(std::getenv("PENSTOCK_MUTANT"))) : 0;
bool recording = std::getenv("PENSTOCK_RECORD") != nullptr;
namespace {
struct recorder : ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override { std::memset(reached, 0, sizeof reached); }
  void OnTestEnd(const ::testing::TestInfo& test) override {
    std::FILE* const to = std::fopen(std::getenv("PENSTOCK_RECORD"), "a");
    std::fprintf(to, "%%s.%%s %%f", test.test_suite_name(), test.name(), static_cast<double>(test.result()->elapsed_time()) / 1e3);
    for (unsigned i = 0; i < sizeof reached; ++i)
      if (reached[i]) std::fprintf(to, " %%u", i);
    std::fprintf(to, "\\n");
    std::fclose(to);
  }
};
const bool listens = [] {
  if (recording) ::testing::UnitTest::GetInstance()->listeners().Append(new recorder);
  return recording;
}();
}  // namespace
}  // namespace penstock_mutation
"""


def put_in(text, mutants, numbers, refused):
    """(the text with switches, {number: mutant that has one}, {number: unit's lines}). refused: lines where no unit may be."""
    source = Source(text)
    changes_of, lines = collections.defaultdict(list), {}
    for mutant, number in zip(mutants, numbers):
        change = source.change_of(mutant, number)
        if mutant.what == "while to if":
            unit = source.loop_of(change)
        else:
            unit = source.unit_of(change, False)
        if unit is None or "#" in source.code[unit.start: unit.end]:
            continue
        span = range(source.line_of(unit.start), source.line_of(unit.end - 1) + 1)
        if any(line in refused for line in span):
            continue
        changes_of[unit].append(change)
        lines[number] = span
    # One that overlaps an earlier unit without being inside of it is not written.
    kept, ends = {}, []
    for unit in sorted(changes_of, key=lambda u: (u.start, -u.end)):
        while ends and ends[-1] <= unit.start:
            ends.pop()
        if ends and unit.end > ends[-1]:
            for change in changes_of[unit]:
                del lines[change.id]
            continue
        ends.append(unit.end)
        kept[unit] = changes_of[unit]
    return source.with_switches(kept), lines
