#!/usr/bin/env python3
"""Installs the core, lets a stranger's project find it and run the README's example, and checks that the README shows that example.

usage: run.py PROJECT_DIRECTORY COMPILER [asio]
"""
import pathlib
import re
import subprocess
import sys
import tempfile

project, compiler = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
asio = "ON" if "asio" in sys.argv[3:] else "OFF"  # where Boost is
example = (project / "examples" / "readme.cpp").read_text()
shown = re.search(r"```cpp\n(.*?)```", (project / "README.md").read_text(), re.S).group(1)
assert shown == example, "the first C++ block of README.md and examples/readme.cpp differ"
with tempfile.TemporaryDirectory(prefix="penstock-consumer-") as scratch:
    def run(*command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"$ {' '.join(command)}\n{done.stdout}")
        return done.stdout
    # The core by itself, as someone without any of the apps' packages would build it.
    run("cmake", "-G", "Ninja", "-S", str(project), "-B", f"{scratch}/core", f"-DCMAKE_CXX_COMPILER={compiler}", "-DPENSTOCK_APPS=OFF",
        f"-DPENSTOCK_ASIO={asio}", "-DPENSTOCK_TESTS=OFF", "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_INSTALL_PREFIX={scratch}/prefix")
    run("cmake", "--build", f"{scratch}/core", "--target", "install")
    run("cmake", "-G", "Ninja", "-S", str(project / "tests" / "consumer"), "-B", f"{scratch}/stranger", f"-DCMAKE_CXX_COMPILER={compiler}",
        f"-DCMAKE_PREFIX_PATH={scratch}/prefix", f"-DEXAMPLE={project}/examples/readme.cpp", f"-DASIO={asio}", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", f"{scratch}/stranger")
    linked = run("ldd", f"{scratch}/stranger/stranger")
    for name in re.findall(r"^\s*(\S+)", linked, re.M):
        assert re.match(r"(/lib.*/)?(ld-linux-x86-64|linux-vdso|libstdc\+\+|libm|libgcc_s|libc)\.so", name), f"the core drags in {name}"
    print(run(f"{scratch}/stranger/stranger"))
    if asio == "ON":
        run(f"{scratch}/stranger/stranger_asio")
