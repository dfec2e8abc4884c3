#!/usr/bin/env python3
"""Stages that do not fit are refused by the compiler with one sentence that says so.

usage: ill_fitting.py COMPILER PROJECT_DIRECTORY
"""
import subprocess
import sys

HEAD = """
#include <vector>
#include <string>
#include <penstock/pipeline/pipeline.hpp>
using namespace penstock;
struct photo {};
int main() { std::vector<int> v; %s }
"""
CASES = [  # code, what the compiler must say; None: it compiles
    ("auto r = from(v) | stage(\"a\", [](int i) { return i; }) | sink(\"b\", [](int) {}) | run();", None),
    ("auto r = from(v) | stage(\"a\", [](int i) { return std::to_string(i); }) | sink(\"b\", [](int*) {}) | run();",
     "this sink's function cannot be called with what the stage before it returns"),
    ("auto r = from(v) | stage(\"a\", [](photo p) { return p; }) | sink(\"b\", [](photo) {}) | run();",
     "this stage's function cannot be called with what the stage before it returns"),
    ("auto r = from(v) | sink(\"a\", [](int i) { return i; }) | run();", "a sink's function returns nothing"),
    ("auto r = from(v) | sink(\"a\", [](int) {}) | sink(\"b\", [](int) {}) | run();", "a sink follows a sink"),
    ("auto r = from(v) | sink(\"a\", [](int) {}) | stage(\"b\", [](int i) { return i; }) | run();", "a stage follows a sink"),
    ("auto r = from(v) | stage(\"a\", [](int i) { return i; }) | run();", "a pipeline ends with a sink"),
    ("auto r = from<int>() | sink(\"a\", [](int) {}) | run();", "an open pipeline is fed by its caller"),
    ("auto r = from(v) | run();", "a pipeline ends with a sink"),
    ("auto r = from([] { return 1; }) | sink(\"a\", [](int) {}) | run();", "a source is a range, or a function that returns an optional"),
]

failures = 0
for code, sentence in CASES:
    done = subprocess.run([sys.argv[1], "-std=c++20", "-fsyntax-only", "-I", sys.argv[2], "-x", "c++", "-"],
                          input=HEAD % code, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if " error: " in line]
    good = not errors if sentence is None else len(errors) == 1 and sentence in errors[0] and "penstock: " in errors[0]
    if not good:
        failures += 1
        print(f"expected {sentence!r} alone for\n  {code}\ngot\n  " + "\n  ".join(errors or ["no error"]))
print(f"{len(CASES) - failures} passed, {failures} failed")
sys.exit(1 if failures else 0)
