#!/usr/bin/env python3
"""What the documents say exists does: every path in docs/tour.md and every relative link of every document; the tour names every header of
the library, and docs/examples.md every example; every package that CMake asks for has its line in script/packages.txt.

usage: documents.py PROJECT_DIRECTORY
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
problems = []

tour = (root / "docs/tour.md").read_text()
paths = re.findall(r"`((?:penstock|apps|examples|tests|bench|script|docs|cmake)/[^`\s]*)`", tour)
for path in paths:
    if not (root / path).exists():
        problems.append(f"docs/tour.md: {path} does not exist")
listed = set(paths)
for header in sorted((root / "penstock").rglob("*.hpp")):
    name = str(header.relative_to(root))
    if name not in listed:
        problems.append(f"docs/tour.md does not mention {name}")

index = (root / "docs/examples.md").read_text()
for example in sorted((root / "examples").rglob("*.[ch]pp")):
    if f"](../{example.relative_to(root)})" not in index:
        problems.append(f"docs/examples.md does not say when to use {example.relative_to(root)}")

documents = [p for p in root.rglob("*.md") if not {"node_modules", "build", ".git"} & set(p.relative_to(root).parts)]
for document in documents:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
        if not re.match(r"[a-z]+:", target) and not (document.parent / target).exists():
            problems.append(f"{document.relative_to(root)}: the link {target} leads nowhere")

packages = (root / "script/packages.txt").read_text()
needs = {"Boost": "libboost1.81-dev", "SQLite3": "libsqlite3-dev", "CURL": "libcurl4-openssl-dev", "OpenSSL": "libssl-dev", "CLI11": "libcli11-dev", "tomlplusplus": "libtomlplusplus-dev",
         "nlohmann_json": "nlohmann-json3-dev", "GTest": "libgtest-dev", "PkgConfig": "pkg-config", "vips-cpp": "libvips-dev", "lcms2": "liblcms2-dev",
         "libjpeg": "libjpeg62-turbo-dev", "libwebp": "libwebp-dev", "benchmark": "libbenchmark-dev", "TBB": "libtbb-dev", "Threads": "g++", "penstock": "g++"}
for lists in root.rglob("CMakeLists.txt"):
    if {"node_modules", "build"} & set(lists.relative_to(root).parts):
        continue
    text = lists.read_text()
    asked = re.findall(r"find_package\((\w+)", text) + re.findall(r"pkg_check_modules\(\w+ REQUIRED IMPORTED_TARGET ([\w+-]+)\)", text)
    for name in asked:
        if name not in needs:
            problems.append(f"{lists.relative_to(root)} asks for {name}: tell tests/structure/documents.py which package that is")
        elif needs[name] not in packages:
            problems.append(f"{lists.relative_to(root)} asks for {name}, but {needs[name]} is not in script/packages.txt")

print("\n".join(problems) or f"{len(paths)} paths and {len(documents)} documents are as they say")
sys.exit(1 if problems or not paths else 0)
