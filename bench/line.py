#!/usr/bin/env python3
"""What does the pipeline add to the work of the photo line's stages, and does memory depend on how many photos there are?

    bench/line.py BENCH_PHOTO_LINE PENSTOCK PHOTOS_FOLDER SCRATCH [ROUNDS]

First the same photos serially, through the line, and through it with decoders in processes of their own, in turn (bench/photo_line.cpp). Then `penstock photos` on all of them, and on ten times
as many; peak memory of the process for each.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

bench, penstock, photos, scratch = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
rounds = sys.argv[5] if len(sys.argv) > 5 else "5"
shutil.rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)

r = json.loads(subprocess.run([bench, str(scratch), rounds, str(photos)], check=True, capture_output=True, text=True).stdout)
print(f"{r['photos']} photos, three renditions, median of {r['rounds']} rounds in turn")
print(f"  stages' own work, serially     {r['serial_cpu_ms']:7.1f} ms of processor time per photo, {r['serial_wall_s']:6.1f} s in all")
print(f"  through the line               {r['line_cpu_ms']:7.1f} ms of processor time per photo, {r['line_wall_s']:6.1f} s in all")
print(f"  ratio                          {r['ratio']:7.3f}   (at most 1.05: {'met' if r['ratio'] <= 1.05 else 'NOT MET'})")
print(f"  with --isolate                 {r['isolated_cpu_ms']:7.1f} ms of processor time per photo, {r['isolated_wall_s']:6.1f} s in all")
for what, value in (("processor time", r["isolated_ratio"]), ("time in all", r["isolated_wall_ratio"])):
    print(f"  beside the line: {what:14}{value:7.3f}   (at most 1.05: {'met' if value <= 1.05 else 'NOT MET'})")
print(f"  bottleneck stage busy          {100 * r['bottleneck_busy']:7.1f} % (at least 95 %: {'met' if r['bottleneck_busy'] >= .95 else 'NOT MET'})")

# A computing stage gives its processor to the other stages' work, too: then it is the processors that set the pace.
print(f"  processors busy                {100 * r['processors_busy']:7.1f} %, from the first photo to the last")


def peak_of(folder):
    gallery = scratch / "gallery"
    shutil.rmtree(gallery, ignore_errors=True)
    child = subprocess.Popen([penstock, "photos", str(folder), "--to", str(gallery), "--quiet", "--json"], stdout=subprocess.PIPE)
    report = json.loads(child.stdout.read())
    _, status, used = os.wait4(child.pid, 0)
    assert status == 0 and report["failed"] == 0, report["failures"]
    return report["published"], used.ru_maxrss / 1024, report["memory"]["peak"] / 1e6


many = scratch / "many"
many.mkdir()
files = sorted(p for p in photos.iterdir() if p.is_file())
for copy in range(10):
    for p in files:  # a JPEG may be followed by anything: other contents for the line, the same work
        (many / f"{copy}-{p.name}").write_bytes(p.read_bytes() + b"%d" % copy)
few = peak_of(photos)
lots = peak_of(many)
shutil.rmtree(many)
for n, rss, budget in (few, lots):
    print(f"  {n:5} photos: peak memory {rss:6.0f} MiB (at most 300: {'met' if rss <= 300 else 'NOT MET'}); in flight by the line's own account {budget:.0f} MB")
shutil.rmtree(scratch)
