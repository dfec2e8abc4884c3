#!/usr/bin/env python3
"""Includes point downward: fails on any include that points upward or sideways in the layers of docs/tour.md.

usage: includes.py PROJECT_DIRECTORY [--self-test]
"""
import pathlib
import re
import sys

CORE = ["base", "queue", "pipeline", "async", "process"]        # each may include itself and what stands before it
MODULES = ["ledger", "engine", "asio", "watch", "simulation"]                 # each may include itself and the core, not one another
THIRD_PARTY_FREE = set(CORE)                                    # C++20 and Linux only


def layer_of(path):
    parts = path.split("/")
    if parts[0] == "penstock" and len(parts) > 2:
        return parts[1]
    return parts[0] if parts[0] in ("apps", "tests", "bench", "examples") else ("umbrella" if parts[0] == "penstock" else None)


def allowed(user, used):
    if user == used or user in ("tests", "bench"):
        return True
    if user == "umbrella":
        return used in CORE
    if user in CORE:
        return used in CORE and CORE.index(used) <= CORE.index(user)
    if user in MODULES:
        return used in CORE
    if user == "examples":
        return used in CORE or used in MODULES or used == "umbrella"
    if user == "apps":
        return used in CORE or used in MODULES or used == "umbrella"
    return False


STANDARD = re.compile(r"^[a-z_0-9]+$|^(sys|linux|netinet|arpa)/|^[a-z_0-9]+\.h$")


def problems_in(name, text):
    user = layer_of(name)
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        target = match.group(2)
        used = layer_of(target)
        if used is None:
            if user in THIRD_PARTY_FREE and not STANDARD.match(target):
                yield f"{name}:{number}: the core depends on nothing outside, but includes {target}"
        elif not allowed(user, used):
            yield f"{name}:{number}: {user} must not include {used} ({target})"
        elif user == "apps" and used == "apps":
            # Within the apps: the tool includes the rooms, photos publish into the gallery; not the other way.
            order = ["gallery", "photos", "run", "penstock"]
            if order.index(target.split("/")[1]) > order.index(name.split("/")[1]):
                yield f"{name}:{number}: apps/{name.split('/')[1]} must not include {target}"


def main():
    root = pathlib.Path(sys.argv[1])
    # The check itself is checked first: it must find what it is for.
    for name, line in [("penstock/base/a.hpp", "#include <penstock/queue/lease.hpp>"), ("penstock/queue/a.hpp", "#include <penstock/watch/b.hpp>"),
                       ("penstock/ledger/a.hpp", "#include <penstock/watch/b.hpp>"), ("penstock/base/a.cpp", "#include <boost/asio.hpp>"),
                       ("apps/gallery/a.cpp", '#include "apps/photos/line.hpp"'), ("penstock/watch/a.cpp", '#include "apps/gallery/x.hpp"')]:
        assert list(problems_in(name, line)), f"the check does not see {line} in {name}"
    assert not list(problems_in("penstock/queue/a.hpp", "#include <penstock/base/mutex.hpp>\n#include <vector>\n#include <unistd.h>"))
    found, seen = [], 0
    for folder in ("penstock", "apps", "tests", "bench", "examples"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp", ".h") and "node_modules" not in path.parts:
                seen += 1
                found += problems_in(str(path.relative_to(root)), path.read_text())
    print("\n".join(found) or f"{seen} files, every include points downward")
    return 1 if found or seen == 0 else 0


sys.exit(main())
