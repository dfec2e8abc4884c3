#!/usr/bin/env python3
"""`penstock photos` when something around it fails: folders that are closed, a faulty card, a share that disappears, a disk that is full,
a server that refuses. What could not be read is reported as unreadable and the exit code is 1; a target that fails ends the run once.

usage: faults_test.py PENSTOCK READ_FAULTS
"""
import errno
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

tool = str(pathlib.Path(sys.argv[1]).resolve())
faults = str(pathlib.Path(sys.argv[2]).resolve())
scratch = pathlib.Path(tempfile.mkdtemp(prefix="penstock-faults-"))
scratch.chmod(0o755)
passed = failed = 0
galleries = 0


def test(function):
    global passed, failed
    try:
        function()
        passed += 1
    except Exception as error:  # a failed assertion, or anything else: reported, and the other tests run
        failed += 1
        print(f"FAILED {function.__name__}: {error!r}")


def new_gallery():
    global galleries
    galleries += 1
    return scratch / f"gallery{galleries}"


def run(*arguments, fault=None, prefix=()):
    environment = dict(os.environ)
    if fault:
        # The last is for a tool with the address sanitizer, which wants to be loaded first.
        environment.update(LD_PRELOAD=faults, PENSTOCK_TEST_FAULTS=fault, ASAN_OPTIONS="verify_asan_link_order=0")
    return subprocess.run([*prefix, tool, "photos", *map(str, arguments)], capture_output=True, text=True, timeout=120, env=environment)


def report_of(*arguments, to=None, expect=1, **more):
    done = run(*arguments, "--to", to or new_gallery(), "--json", **more)
    assert done.returncode == expect, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout)


def names(report):
    return sorted(pathlib.Path(f["path"]).name for f in report["unreadable_files"])


def noise(path, seed):
    subprocess.run(["vips", "gaussnoise", path, "200", "150", "--sigma", "40", "--mean", "128", "--seed", str(seed)], check=True)


card = scratch / "card"
(card / "DCIM" / "100").mkdir(parents=True)
(card / "DCIM" / "101").mkdir()
for i in range(4):
    noise(card / "DCIM" / "100" / f"A{i}.jpg", i)
    noise(card / "DCIM" / "101" / f"B{i}.png", 10 + i)
    noise(card / "DCIM" / "101" / f"C{i}.tif", 20 + i)


def the_tree_is_fine_without_a_fault():
    report = report_of(card, expect=0)
    assert report["published"] == 12 and report["unreadable"] == 0 and report["unreadable_files"] == [], report


def a_read_that_fails_at_once_or_midway_is_unreadable():
    for call in ("open", "read", "stat"):
        for number in (errno.EIO, errno.EACCES, errno.ESTALE):
            report = report_of(card, fault=f"{call}:{number}:/B2.png;{call}:{number}:/A1.jpg;{call}:{number}:/C0.tif")
            assert names(report) == ["A1.jpg", "B2.png", "C0.tif"] and report["unreadable"] == 3, report
            assert report["published"] == 9 and report["failed"] == 0 and report["failures"] == [] and not report["skipped"], report
            assert all(f["reason"] == os.strerror(number) for f in report["unreadable_files"]), report


def a_read_that_fails_later_is_unreadable_wherever_the_photo_is_decoded():
    # The source reads a photo, the probe reads it, the download reads it: each of them meets the fault once.
    for isolate in ((), ("--isolate",)):
        for good in range(1, 4):
            report = report_of(card, *isolate, fault=f"read:{errno.EIO}:/A1.jpg:{good};read:{errno.EIO}:/B1.png:{good};read:{errno.EIO}:/C1.tif:{good}")
            assert report["failed"] == 0 and report["unreadable"] + report["published"] == 12, report
            assert set(names(report)) <= {"A1.jpg", "B1.png", "C1.tif"} and "C1.tif" in names(report), report


def a_folder_that_cannot_be_listed_to_its_end_is_unreadable():
    report = report_of(card, fault=f"opendir:{errno.EIO}:/101")
    assert names(report) == ["101"] and report["published"] == 4, report
    report = report_of(card, fault=f"readdir:{errno.EIO}:/100:3")
    assert names(report) == ["100"] and 8 <= report["published"] < 12, report
    report = report_of(card, fault=f"opendir:{errno.EACCES}:/card")
    assert names(report) == ["card"] and report["published"] == 0, report


def a_card_that_disappears_on_the_way_is_unreadable_from_there_on():
    for number in (errno.ENOENT, errno.EIO, errno.ENODEV, errno.ESTALE):
        for good in (12, 30, 60):
            report = report_of(card, fault=f"any:{number}:/card/DCIM:{good}")
            assert report["unreadable"] > 0 and report["failed"] == 0, report


def the_report_lists_them_with_reasons():
    done = run(card, "--to", new_gallery(), fault=f"read:{errno.EIO}:/A1.jpg")
    assert done.returncode == 1 and "1 file or folder could not be read" in done.stdout, done
    assert f"unreadable  {card}/DCIM/100/A1.jpg: Input/output error" in done.stdout, done.stdout
    done = run(card, "--to", new_gallery(), "--dry-run", fault=f"read:{errno.EIO}:/A1.jpg")
    assert done.returncode == 1 and "A1.jpg: Input/output error" in done.stdout, done


def what_this_user_may_not_read_is_unreadable():
    closed = scratch / "closed"
    shutil.copytree(card, closed)
    (closed / "DCIM" / "100").chmod(0)
    (closed / "DCIM" / "101" / "B0.png").chmod(0)
    (closed / "DCIM" / "lost+found").mkdir(mode=0)  # on every ext4 card; nothing of the owner's is in there
    prefix = ()
    gallery = new_gallery()
    if os.geteuid() == 0:
        gallery.mkdir()
        for path in [gallery, closed, *closed.rglob("*")]:
            os.chown(path, 65534, 65534)
        os.chown(closed / "DCIM" / "lost+found", 0, 0)
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    try:
        report = report_of(closed, to=gallery, prefix=prefix)
    finally:
        (closed / "DCIM" / "100").chmod(0o755)
    assert names(report) == ["100", "B0.png"], report
    assert all("Permission denied" in f["reason"] for f in report["unreadable_files"]), report
    assert report["published"] == 7 and report["skipped"] == {"system folder (lost+found)": 1}, report


def links_that_lead_nowhere_are_unreadable():
    links = scratch / "links"
    links.mkdir()
    shutil.copy(card / "DCIM" / "100" / "A0.jpg", links)
    (links / "gone.jpg").symlink_to("/not/there.jpg")
    (links / "loop").symlink_to("loop")
    (links / "again").symlink_to(".")  # a folder in a circle: seen already
    report = report_of(links)
    assert names(report) == ["gone.jpg", "loop"] and report["published"] == 1, report


def photos_of_nothing_are_failures():
    empty = scratch / "empty"
    empty.mkdir()
    shutil.copy(card / "DCIM" / "100" / "A0.jpg", empty)
    for name, content in [("e.jpg", b""), ("z.jpg", bytes(5000)), ("z.NEF", bytes(10)), ("f.heic", b"\xff" * 5000)]:
        (empty / name).write_bytes(content)
    (empty / "notes").write_bytes(b"")
    report = report_of(empty)
    assert report["published"] == 1 and report["failed"] == 4 and report["skipped"] == {"empty file": 1}, report
    assert all(f["reason"].startswith("damaged: ") for f in report["failures"]), report


def a_full_disk_stops_the_run_once_and_a_later_run_publishes_the_rest():
    gallery = new_gallery()
    stopped = run(card, "--to", gallery, fault=f"write:{errno.ENOSPC}:{gallery}/tmp:5")
    assert stopped.returncode == 1, stopped
    assert "stopped: 5 published, 7 not tried: cannot write" in stopped.stdout and "free some space" in stopped.stdout, stopped.stdout
    rest = report_of(card, to=gallery, expect=0)
    assert rest["published"] == 7 and rest["already_there"] == 5 and rest["not_tried"] == 0, rest


class refusing(http.server.BaseHTTPRequestHandler):
    """A gallery that takes `good` photos, and then replies `status` to each."""
    protocol_version = "HTTP/1.1"
    good, status, taken, refused = 3, 401, 0, 0
    lock = threading.Lock()

    def reply(self, status):
        body = b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if self.command != "HEAD" else 0))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.reply(404)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not body:
            return self.reply(400)  # the question whether photos would be taken
        with refusing.lock:
            taken = refusing.taken < refusing.good
            refusing.taken += taken
            refusing.refused += not taken
        self.reply(201 if taken else refusing.status)

    def log_message(self, *_):
        pass


def a_server_that_takes_no_more_stops_the_run_once_and_one_that_refuses_photos_does_not():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for status, stops in [(401, True), (403, True), (507, True), (413, False), (422, False)]:
            refusing.status, refusing.taken, refusing.refused = status, 0, 0
            report = report_of(card, to=f"http://127.0.0.1:{server.server_port}/")
            assert report["published"] == 3, (status, report)
            if stops:
                assert report["not_tried"] == 9 and report["failed"] == 0 and report["target_error"] and refusing.refused <= 2, (status, report)
            else:
                assert report["not_tried"] == 0 and report["failed"] == 9 and report["target_error"] is None, (status, report)
    finally:
        server.shutdown()
        server.server_close()


try:
    for function in [the_tree_is_fine_without_a_fault, a_read_that_fails_at_once_or_midway_is_unreadable,
                     a_read_that_fails_later_is_unreadable_wherever_the_photo_is_decoded, a_folder_that_cannot_be_listed_to_its_end_is_unreadable,
                     a_card_that_disappears_on_the_way_is_unreadable_from_there_on, the_report_lists_them_with_reasons,
                     what_this_user_may_not_read_is_unreadable, links_that_lead_nowhere_are_unreadable, photos_of_nothing_are_failures,
                     a_full_disk_stops_the_run_once_and_a_later_run_publishes_the_rest,
                     a_server_that_takes_no_more_stops_the_run_once_and_one_that_refuses_photos_does_not]:
        test(function)
finally:
    shutil.rmtree(scratch, ignore_errors=True)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
