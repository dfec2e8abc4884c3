#!/usr/bin/env python3
"""`cmake --install build/release` works after script/demo, as the README says: every file that is installed from the build directory is made
by a command of the demo's build. Configures as the demo does, into a directory of its own, and compiles nothing.

usage: installed.py PROJECT_DIRECTORY
"""
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

project = pathlib.Path(sys.argv[1]).resolve()
demo = (project / "script" / "demo").read_text()


def words_of(pattern):
    """The arguments of the demo's one command that begins so."""
    found = re.findall(pattern + r"([^;&|]*)", demo)
    assert len(found) == 1, f"script/demo has {len(found)} commands that begin with {pattern}"
    return shlex.split(found[0])


def output_of(*command):
    done = subprocess.run(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"$ {shlex.join(command)}\n{done.stdout}")
    return done.stdout


with tempfile.TemporaryDirectory(prefix="penstock-installed-") as scratch:
    output_of("cmake", "--preset", "release", "-B", scratch, *words_of("cmake --preset release"))
    options = words_of("cmake --build --preset release")
    assert not options or options[0] == "--target", f"script/demo builds with {options}"
    made = output_of("ninja", "-C", scratch, "-t", "commands", *(options[1:] or ["all"]))
    installed = set()
    for script in pathlib.Path(scratch).rglob("cmake_install.cmake"):
        installed.update(re.findall(r'"' + re.escape(scratch) + r'/([^"$]*)"', script.read_text()))
    files = sorted(f for f in installed if not f.endswith("cmake_install.cmake") and not (pathlib.Path(scratch) / f).exists())
    assert any(f.endswith(".a") for f in files) and any(f.endswith("/penstock") for f in files), f"found only {files}"
    missing = [f for f in files if not re.search(re.escape(f) + r"(?![\w.-])", made)]
    if missing:
        sys.exit("installed, but not made by script/demo's build: " + ", ".join(missing))
    print(f"{len(files)} files are installed from the build directory, and script/demo's build makes them all")
