#!/usr/bin/env python3
"""kill -9 at random moments of `penstock photos`: after a rerun the gallery equals that of an undisturbed run.

usage: killed_test.py PENSTOCK [--photos N] [--kills K] [--seed S]

Compared are the published photos (ids, renditions, contents) and the files on the disk; no temporary file may be left, no photo twice.
"""
import argparse
import hashlib
import json
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time


def contents(gallery):
    """What is visible (by rows) and what is there (by files), each with a hash of its bytes."""
    rows = {}
    db = sqlite3.connect(f"file:{gallery}/gallery.db?mode=ro", uri=True)
    for sequence, photo, fields in db.execute("SELECT sequence, id, fields FROM photo"):
        assert photo not in rows, f"{photo} is there twice"
        rows[photo] = (fields, sorted(db.execute(
            "SELECT width, height, media_type, bytes, digest FROM rendition WHERE sequence = ?", (sequence,))))
    db.close()
    files = {str(p.relative_to(gallery)): hashlib.sha256(p.read_bytes()).hexdigest()
             for p in gallery.rglob("*") if p.is_file() and not p.name.startswith("gallery.db")}
    return rows, files


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("penstock")
    arguments.add_argument("--photos", type=int, default=40)
    arguments.add_argument("--kills", type=int, default=6)
    arguments.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = arguments.parse_args()
    print(f"seed {options.seed}")
    pick = random.Random(options.seed)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="penstock-killed-"))
    try:
        source = scratch / "in"
        source.mkdir()
        # Photos that differ, made by the vips program; each a second or less to make all of them.
        for i in range(options.photos):
            subprocess.run(["vips", "gaussnoise", str(source / f"{i:04}.jpg"), str(600 + i % 7), "450", "--sigma", "40", "--mean", "128", "--seed", str(i)],
                           check=True)
        run = [options.penstock, "photos", str(source), "--quiet", "--json", "--to"]
        whole = scratch / "undisturbed"
        began = time.monotonic()
        done = json.loads(subprocess.run(run + [str(whole)], check=True, capture_output=True).stdout)
        took = time.monotonic() - began
        assert done["published"] == options.photos, done
        want = contents(whole)
        interrupted = 0
        gallery = scratch / "killed"
        runs = 0
        while interrupted < options.kills:
            runs += 1
            assert runs < 10 * options.kills, "hardly any run was killed: nothing was tested"
            if pick.random() < .2 and gallery.exists():  # now and then from the start, else on top of the last wreck
                shutil.rmtree(gallery)
            child = subprocess.Popen(run + [str(gallery)], stdout=subprocess.DEVNULL)
            try:
                child.wait(timeout=pick.uniform(0, took * 1.05))
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.wait()
                interrupted += 1
            if pick.random() < .5 or interrupted == options.kills:
                subprocess.run(run + [str(gallery)], check=True, stdout=subprocess.DEVNULL)
                got = contents(gallery)
                assert got[0] == want[0], "what is visible differs from an undisturbed run"
                assert got[1] == want[1], f"files differ: {sorted(set(got[1]) ^ set(want[1]))[:5]}"
                assert not list((gallery / "tmp").iterdir()), "temporary files were left"
                if pick.random() < .5:
                    shutil.rmtree(gallery)
        print(f"{runs} runs, {interrupted} of them killed in the middle; every rerun made the gallery whole")
    finally:
        shutil.rmtree(scratch)


main()
