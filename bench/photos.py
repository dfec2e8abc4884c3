#!/usr/bin/env python3
"""How much processor time does it take to make the renditions of a photo, beside vipsthumbnail and sharp?

    bench/photos.py --ours build/release/bench/bench_photos --scratch /tmp/bench-photos [--json] [--photos 100] [--repeat 3]

One hundred photos of 12 to 24 megapixels are made from the real photos of three Debian packages, the same ones every time, and kept in
the scratch folder for the next run. Each system makes two renditions, 2048 and 320 pixels, of quality 82; the systems take turns,
and medians are printed. The column to trust is processor time: user and system time of the whole process, start included.

Needs libvips-tools, forensics-samples-files, mate-backgrounds, plasma-workspace-wallpapers; for sharp, `npm ci` in bench/photos_sharp.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
FORENSICS = "/usr/share/forensics-samples/original-files/"
ORIGINALS = [
    FORENSICS + "pic1/IMG_20200827_231612.jpg",
    FORENSICS + "pic2/IMG_20191224_234846.jpg",
    "/usr/share/backgrounds/mate/abstract/Elephants_5640x3172.jpg",
    FORENSICS + "pic2/IMG_20200124_231153.jpg",
    "/usr/share/wallpapers/Volna/contents/images/5120x2880.jpg",
    FORENSICS + "pic2/IMG_20200608_111614.jpg",
    "/usr/share/wallpapers/SafeLanding/contents/images/5120x2880.jpg",
]
# What cameras deliver, 12 to 24 megapixels. Eight sizes and seven originals make 56 photos; from there on they are mirrored in another way.
SIZES = [(4000, 3000), (6000, 4000), (4608, 3456), (5184, 3456), (4032, 3024), (5472, 3648), (4896, 3672), (5120, 2880)]


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    directory = struct.pack(">HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    block = b"Exif\0\0MM\0*\0\0\0\x08" + directory
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def make_photo(number: int, to: pathlib.Path) -> None:
    width, height = SIZES[number % len(SIZES)]
    mirror = (number // len(ORIGINALS) + number // 56) % 4
    picture, mirrored, jpeg = (to.with_suffix(suffix) for suffix in (".v", ".mirrored.v", ".part.jpg"))

    def run(*command) -> None:
        subprocess.run([str(word) for word in command], check=True)

    run("vipsthumbnail", ORIGINALS[number % len(ORIGINALS)], "--no-rotate", "--size", f"{width}x{height}", "--smartcrop", "centre",
        "-o", f"{picture}[strip]")
    for bit, direction in ((1, "horizontal"), (2, "vertical")):
        if mirror & bit:
            run("vips", "flip", picture, mirrored, direction)
            mirrored.rename(picture)
    run("vips", "jpegsave", picture, jpeg, "--Q", 92, "--subsample-mode", "on", "--strip")
    # One in five was taken with the camera on its side.
    jpeg.write_bytes(with_orientation(jpeg.read_bytes(), 6 if number % 5 == 4 else 1))
    picture.unlink()
    jpeg.rename(to)


def make_photos(count: int, folder: pathlib.Path) -> list:
    missing = [name for name in ORIGINALS if not os.path.exists(name)]
    if missing:
        sys.exit("missing " + missing[0] + ": apt-get install forensics-samples-files mate-backgrounds plasma-workspace-wallpapers")
    folder.mkdir(parents=True, exist_ok=True)
    photos = [folder / f"photo-{number:03}.jpg" for number in range(count)]
    for number, photo in enumerate(photos):
        if not photo.exists():
            make_photo(number, photo)
    return [str(photo) for photo in photos]


def measured(commands: list, photos: int) -> dict:
    """Runs the commands, two at a time, and adds up what they took."""
    waiting, running, cpu, start = list(commands), {}, 0.0, time.monotonic()
    peaks = []
    while waiting or running:
        while waiting and len(running) < 2:
            child = subprocess.Popen(waiting.pop(0), stdout=subprocess.DEVNULL)
            running[child.pid] = child
        pid, status, used = os.wait4(-1, 0)
        running.pop(pid).returncode = status
        if status != 0:
            sys.exit(f"a run failed with status {status}")
        cpu += used.ru_utime + used.ru_stime
        peaks.append(used.ru_maxrss)
    # Two processes at a time hold twice what one does.
    peak = sum(sorted(peaks)[-2:]) / 1024
    return {"cpu_ms": 1000 * cpu / photos, "per_second": photos / (time.monotonic() - start), "peak_mib": peak}


def vipsthumbnail(photos: list, out: pathlib.Path) -> list:
    """Ten files per process. It makes one size per call, so the small ones are made from the large ones."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    commands = []
    for first in range(0, len(photos), 10):
        some = photos[first:first + 10]
        large = " ".join(f"'{out}/{pathlib.Path(photo).stem}.2048.jpg'" for photo in some)
        options = "[Q=82,strip]"
        commands.append(["sh", "-ec", f"vipsthumbnail --vips-concurrency=1 --size '2048x2048>' -o '{out}/%s.2048.jpg{options}' " +
                         " ".join(f"'{photo}'" for photo in some) +
                         f"; vipsthumbnail --vips-concurrency=1 --size '320x320>' -o '{out}/%s.320.jpg{options}' {large}"])
    return commands


def rivals(options, photos: list) -> dict:
    ours = str(pathlib.Path(options.ours).resolve())
    systems = {"penstock": lambda: [[ours, "2", "2048,320", "jpeg", *photos]]}
    if shutil.which("vipsthumbnail"):
        systems["vipsthumbnail, 10 per process"] = lambda: vipsthumbnail(photos, pathlib.Path(options.scratch) / "vipsthumbnail")
    if (HERE / "photos_sharp" / "node_modules" / "sharp").exists():
        systems["sharp"] = lambda: [["node", str(HERE / "photos_sharp" / "photos.mjs"), *photos]]
    else:
        print("without sharp: run `npm ci` in bench/photos_sharp", file=sys.stderr)
    return systems


def first_line(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def machine() -> dict:
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return {"machine": f"{os.cpu_count()} × {model}", "compiler": first_line("c++", "--version"), "libvips": first_line("vips", "--version"),
            "commit": first_line("git", "rev-parse", "--short", "HEAD")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True, help="the program bench_photos")
    parser.add_argument("--scratch", required=True, help="a folder for the photos and what is made of them: 1 GB")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    photos = make_photos(options.photos, pathlib.Path(options.scratch) / "originals")
    systems = rivals(options, photos)
    runs = {name: [] for name in systems}
    for _ in range(options.repeat):
        for name, commands in systems.items():
            runs[name].append(measured(commands(), len(photos)))
    medians = {name: {key: statistics.median(run[key] for run in results) for key in results[0]} for name, results in runs.items()}
    ours = medians["penstock"]["cpu_ms"]
    about = machine() | {"photos": len(photos), "mean_bytes": sum(os.path.getsize(photo) for photo in photos) // len(photos),
                         "repetitions": options.repeat}
    if options.json:
        print(json.dumps(about | {"medians": medians, "runs": runs}, indent=1))
        return
    print("\n".join(f"{key}: {value}" for key, value in about.items()))
    print(f"\n{'2048 + 320 pixels, quality 82':32} {'CPU ms/photo':>12} {'× ours':>7} {'photos/s':>9} {'peak MiB':>9}")
    for name, result in sorted(medians.items(), key=lambda item: item[1]["cpu_ms"]):
        print(f"{name:32} {result['cpu_ms']:12.1f} {result['cpu_ms'] / ours:7.2f} {result['per_second']:9.1f} {result['peak_mib']:9.0f}")


if __name__ == "__main__":
    main()
