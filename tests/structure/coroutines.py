#!/usr/bin/env python3
"""No coroutine is written in a form that g++ 12 miscompiles (docs/coroutines.md).

usage: coroutines.py DIRECTORY...

It reads text, not C++: it sees what stands in one statement, and errs on the side of asking for the plainer form.
"""
import pathlib
import re
import sys

FOLDERS = ("penstock", "apps", "examples", "tests", "bench")


def without_comments_and_strings(text):
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def inside(text, opening):
    """What stands between the bracket at `opening` and its partner."""
    depth, pairs = 0, {"(": ")", "[": "]", "{": "}"}
    for i in range(opening, len(text)):
        if text[i] in pairs:
            depth += 1
        elif text[i] in pairs.values():
            depth -= 1
            if depth == 0:
                return text[opening + 1:i]
    return text[opening + 1:]


def statements(text):
    """(position, statement) of each statement that awaits."""
    for match in re.finditer(r"[^;{}]*\bco_await\b[^;]*;", text):
        yield match.start() + len(match.group(0)) - len(match.group(0).lstrip()), match.group(0).strip()


def problems_in(name, text):
    text = without_comments_and_strings(text)

    def at(position):
        return f"{name}:{text.count(chr(10), 0, position) + 1}"

    for match in re.finditer(r"\b(if|while|switch|for)\s*\(", text):
        condition = inside(text, match.end() - 1)
        if match.group(1) == "for":
            parts = condition.split(";")
            condition = parts[1] if len(parts) == 3 else ""
        last = condition.split(";")[-1]
        # A declaration, or the await of something that has a name.
        if "co_await" in last and not re.match(r"\s*(const\s+)?[\w:<>]+[&\s]\s*\w+\s*=", last) and not re.search(r"co_await\s+(std::move\()?\w+\)*\s*$", last):
            yield f"{at(match.start())}: an await as a condition; give its result a name first"
    for position, statement in statements(text):
        awaited = statement[statement.index("co_await"):]
        if re.match(r"co_await\s*\[", awaited):
            yield f"{at(position)}: a temporary lambda is awaited; give it a name first"
        elif re.match(r"co_await[^;{]*\(\s*(?:[^()]*,\s*)?\[[^\]\s][^\]]*\]\s*[({]", awaited):
            yield f"{at(position)}: a temporary lambda with captures in an await; give it a name first"
        if re.search(r"\?[^;]*co_await", statement):
            yield f"{at(position)}: an await in a conditional expression; use if and else"
        if re.search(r"\{\s*\.\w+\s*=", awaited):
            yield f"{at(position)}: an aggregate as a temporary in an await; give it a name first"
    for match in re.finditer(r"[\w>]\s*(?:=\s*)?\{[^{};]*\bco_await\b[^{};]*\}", text):
        yield f"{at(match.start())}: initialised with an await between braces; await into a local first"


BAD = ["if (co_await f()) g();", "while (!co_await f()) g();", "for (;co_await f();) g();", "switch (co_await f()) {}", "if (x && co_await f()) g();",
       "co_await f([s] { return s; });", "co_await f(1, [&s] { return s; });", "co_await [s]() -> task<> { co_return; }();", "int x = b ? co_await f() : co_await g();",
       "co_return b ? co_await f() : 1;", "co_await use({.a = 1});", "co_await use(options{.a = 1});", "options o{co_await f(), 1};", "std::vector<int> v = {co_await f()};",
       "auto v = std::vector<int>{1, co_await f()};"]
GOOD = ["const bool b = co_await f(); if (b) g();", "while (auto i = co_await f()) g();", "if (const bool b = co_await f()) g();", "auto t = f(); if (co_await t) g();",
        "co_await f(g);", "co_await f(x[i]);", "co_await f([](int i) { return i; });", "for (int i = 0; i < 3; ++i) co_await f(i);", "// if (co_await f())",
        "if (x) co_await f();", "const auto l = [s] { return s; }; co_await f(l);", "for (auto& u : urls) { co_await g.room(); }", "if (x) { y = co_await f(); }"]


def main():
    # The check itself is checked first: it must find what it is for, and nothing else.
    for code in BAD:
        assert list(problems_in("", f"task<> t() {{ {code} }}")), f"the check does not see: {code}"
    for code in GOOD:
        found = list(problems_in("", f"task<> t() {{ {code} }}"))
        assert not found, f"the check refuses: {code}: {found}"
    found, seen = [], 0
    for root in map(pathlib.Path, sys.argv[1:]):
        folders = [root / f for f in FOLDERS if (root / f).is_dir()] or [root]
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.suffix in (".hpp", ".cpp", ".h") and not {"node_modules", "build"} & set(path.relative_to(root).parts):
                    text = path.read_text()
                    seen += "co_await" in text
                    found += problems_in(str(path.relative_to(root)), text)
    print("\n".join(found) or f"{seen} files with coroutines, none in a form that g++ 12 miscompiles")
    return 1 if found or seen == 0 else 0


sys.exit(main())
