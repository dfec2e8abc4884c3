#!/usr/bin/env python3
"""`penstock photos` as its users meet it: exit codes, what is printed where, Ctrl-C once and twice, a terminal, a gallery that is served.

usage: tool_test.py PENSTOCK
"""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

tool = str(pathlib.Path(sys.argv[1]).resolve())
scratch = pathlib.Path(tempfile.mkdtemp(prefix="penstock-tool-"))
os.chdir(scratch)  # where ./gallery harms nobody
passed = failed = 0


def test(function):
    global passed, failed
    try:
        function()
        passed += 1
    except Exception as error:  # a failed assertion, or anything else: told, and the others go on
        failed += 1
        print(f"FAILED {function.__name__}: {error!r}")


def run(*arguments, **more):
    return subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, timeout=120, **more)


def noise(path, width, height, seed):
    subprocess.run(["vips", "gaussnoise", path, str(width), str(height), "--sigma", "40", "--mean", "128", "--seed", str(seed)], check=True)


few = scratch / "few"
few.mkdir()
for i in range(3):
    noise(few / f"{i}.jpg", 500, 400, i)
many = scratch / "many"
many.mkdir()
noise(many / "000.jpg", 4000, 3000, 7)
first = (many / "000.jpg").read_bytes()
for i in range(1, 60):  # as good as different: a JPEG may be followed by anything
    (many / f"{i:03}.jpg").write_bytes(first + b"%d" % i)


def workers_of(process):
    """The processes that decode for it."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it has ended
        if parent == process.pid and b"penstock-worker" in words and any(b"make_there" in w for w in words):
            found.append(int(entry.name))
    return found


def isolated_decoders_make_the_same_and_the_death_of_one_costs_one_photo():
    plain, isolated = run("photos", few, "--to", scratch / "i0", "--json"), run("photos", few, "--to", scratch / "i1", "--json", "--isolate")
    assert isolated.returncode == 0, isolated
    same = [{k: json.loads(r.stdout)[k] for k in ("published", "renditions", "bytes_published", "failed")} for r in (plain, isolated)]
    assert same[0] == same[1] and same[0]["published"] == 3, same
    process = subprocess.Popen([tool, "photos", many, "--to", scratch / "i2", "--json", "--quiet", "--isolate", "--deadline", "100"], stdout=subprocess.PIPE, text=True)
    killed = 0
    while process.poll() is None and killed < 5:
        for worker in workers_of(process):
            try:
                os.kill(worker, signal.SIGSEGV)
                killed += 1
            except ProcessLookupError:
                pass
        time.sleep(.05)
    report = json.loads(process.communicate(timeout=120)[0])
    assert report["published"] + report["failed"] == 60, report
    # One that had no photo in its hand, because it was just starting or waiting, costs none.
    assert report["failed"] <= killed, report
    assert process.returncode == (1 if report["failed"] else 0), process.returncode
    for failure in report["failures"]:
        assert "killed by signal 11 (SEGV)" in failure["reason"] or "did not start" in failure["reason"], failure
    assert run("photos", few, "--deadline", "5").returncode == 2, "a deadline is for --isolate"


def all_done_is_0_and_a_second_run_has_nothing_to_do():
    done = run("photos", few, "--to", scratch / "g0")
    assert done.returncode == 0, done
    assert "published 3 photos" in done.stdout, done.stdout
    assert "\x1b" not in done.stdout + done.stderr, "control sequences where there is no terminal"
    again = run("photos", few, "--to", scratch / "g0")
    assert again.returncode == 0 and "3 were there already" in again.stdout, again.stdout


def a_failed_photo_is_1_and_listed_with_path_and_reason():
    bad = scratch / "bad"
    shutil.copytree(few, bad)
    (bad / "cut.jpg").write_bytes((few / "0.jpg").read_bytes()[:20000])
    (bad / "text.jpg").write_text("no photo at all, only text")
    done = run("photos", bad, "--to", scratch / "g1")
    assert done.returncode == 1, done
    assert re.search(r"failed +\S*/cut\.jpg: \S+", done.stdout), done.stdout
    assert "text.jpg" in done.stdout, done.stdout
    fast = run("photos", bad, "--to", scratch / "g1b", "--fail-fast")
    assert fast.returncode == 1 and "ended early" in fast.stdout, fast


def usage_is_2_with_a_hint():
    for arguments in [["photos"], ["photos", few, "--format", "gif"], ["photos", "/not/there"], ["photos", few, "--keep", "gps"], ["nonsense"], [],
                      ["photos", few, "--memory", "lots"], ["photos", few, "--memory", "50"], ["photos", few, "--memory", "-1"],
                      ["photos", few, "--quality", "0"], ["photos", few, "--to", "ftp://x"], ["photos", few, "--to", ""], ["photos", few, "--to", few], ["photos", few, "--to", "http://127.0.0.1:1", "--serve", "1234"], ["photos", few, "--quality", "101"],
                      ["gallery", "serve", scratch / "x", "--listen", "nowhere"]]:
        done = run(*arguments)
        assert done.returncode == 2, (arguments, done)
        assert done.stderr.strip() and not done.stdout.strip(), (arguments, done)
    assert run("--help").returncode == 0
    assert "--memory" in run("photos", "--help").stdout


def json_is_all_of_stdout():
    done = run("photos", few, "--to", scratch / "g2", "--json")
    report = json.loads(done.stdout)
    assert report["published"] == 3 and report["failed"] == 0 and report["pipeline"]["outcome"] == "completed", report
    assert report["pipeline"]["bottleneck_sentence"], report
    assert report["memory"]["peak"] <= report["memory"]["limit"], report


def a_dry_run_names_photos_and_leaves_nothing():
    done = run("photos", few, "--to", scratch / "g3", "--dry-run")
    assert done.returncode == 0 and done.stdout.count("would publish ") == 4, done.stdout
    assert not (scratch / "g3").exists()


def a_gallery_is_never_its_own_source():
    trip = scratch / "trip"
    shutil.copytree(few, trip)
    for turn in range(2):
        done = subprocess.run([tool, "photos", ".", "--json"], cwd=trip, capture_output=True, text=True, timeout=120)
        report = json.loads(done.stdout)
        assert done.returncode == 0 and report["found"] == 3 and report["skipped"] == {"folder is a gallery": 1}, report


def names_that_a_terminal_would_obey_are_shown_harmless():
    odd = scratch / "odd"
    odd.mkdir()
    shutil.copy(few / "0.jpg", odd / "red\x1b[31m\n.jpg")
    done = run("photos", odd, "--to", scratch / "g10", "--dry-run")
    assert "red\\x1b[31m\\x0a.jpg" in done.stdout and "\x1b" not in done.stdout, done.stdout


def memory_too_small_for_a_photo_says_so():
    done = run("photos", few, "--to", scratch / "g4", "--memory", "1MB")
    assert done.returncode == 1 and "raise --memory to" in done.stdout, done.stdout


def an_unreachable_gallery_is_told_and_is_1():
    done = run("photos", few / "0.jpg", "--to", "http://127.0.0.1:1/")
    assert done.returncode == 1 and "127.0.0.1:1" in done.stdout + done.stderr, done


def start(*arguments):
    return subprocess.Popen([tool, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition, child):
    while not condition():
        assert child.poll() is None, "it ended early: " + child.stderr.read()
        time.sleep(.005)


def visible(gallery):
    """Renditions on the disk: good enough to know that something has been published."""
    return len(list(gallery.glob("photos/*/*/*"))) if gallery.exists() else 0


def one_interrupt_drains_and_a_rerun_finishes():
    gallery = scratch / "g5"
    child = start("photos", many, "--to", gallery, "--json")
    until(lambda: visible(gallery) > 0, child)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=120)
    report = json.loads(out)
    assert child.returncode == 130, child.returncode
    assert report["pipeline"]["outcome"] == "drained", report["pipeline"]["outcome"]
    assert report["pipeline"]["returned"] == 0 and 0 < report["published"] < 60, report["published"]
    rest = json.loads(run("photos", many, "--to", gallery, "--json").stdout)
    assert report["published"] + rest["published"] == 60, (report["published"], rest["published"])


def two_interrupts_stop_and_nothing_half_published_is_left():
    gallery = scratch / "g6"
    child = start("photos", many, "--to", gallery, "--json")
    until(lambda: visible(gallery) > 0, child)
    child.send_signal(signal.SIGINT)
    while "once more" not in child.stderr.readline():
        pass
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 130, child.returncode
    report = json.loads(out)
    assert report["pipeline"]["outcome"] in ("cancelled", "drained"), report["pipeline"]["outcome"]
    assert report["published"] + len(report["unfinished"]) == report["pipeline"]["entered"], report
    assert not list((gallery / "tmp").iterdir())
    rest = json.loads(run("photos", many, "--to", gallery, "--json").stdout)
    assert report["published"] + rest["published"] == 60


def on_a_terminal(interrupt):
    parent, child_end = pty.openpty()
    child = subprocess.Popen([tool, "photos", str(many), "--to", str(scratch / f"g7{interrupt}")], stdout=child_end, stderr=child_end, stdin=child_end,
                             start_new_session=True, env={**os.environ, "TERM": "xterm"})
    os.close(child_end)
    text, sent = b"", False
    while True:
        ready, _, _ = select.select([parent], [], [], 120)
        assert ready, "nothing is drawn any more"
        try:
            part = os.read(parent, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
        if interrupt and not sent and "bottleneck".encode() in text:
            child.send_signal(signal.SIGINT)
            sent = True
    return text.decode(), child.wait()


def screen_after(text):
    """What is on the screen in the end, for the few control sequences that progress uses."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[\d*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        match = re.fullmatch(r"\x1b\[(\d*)([A-Za-z])", piece)
        if match:
            if match.group(2) == "A":
                row -= int(match.group(1) or 1)
                assert row >= 0, "it went above its own first line"
            elif match.group(2) == "J":
                del lines[row + 1:]
                lines[row] = ""
            elif match.group(2) == "K":
                pass
            else:
                assert match.group(2) == "m", piece
        elif piece == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif piece != "\r":
            lines[row] = piece
    return [line for line in lines if line.strip()]


def the_terminal_is_clean_at_the_end():
    for interrupt in (False, True):
        text, code = on_a_terminal(interrupt)
        assert code == (130 if interrupt else 0), code
        assert "◀ bottleneck" in text and (interrupt or " left" in text), text[-2000:]
        final = screen_after(text)
        assert not any(re.search(r"\d+/\d+ |queue", line) for line in final), "a piece of the live block was left:\n" + "\n".join(final)
        assert any(line.startswith("published ") for line in final), final


def serves_while_it_fills_and_after():
    gallery = scratch / "g8"
    child = start("photos", few, "--to", gallery, "--serve", "127.0.0.1:0")
    address = None
    while not address:
        line = child.stderr.readline()
        assert line, "it ended without serving"
        found = re.search(r"http://\S+", line)
        address = found.group(0) if found else None
    until(lambda: json.load(urllib.request.urlopen(address + "api/photos"))["total"] == 3, child)
    page = urllib.request.urlopen(address).read().decode()
    assert "<html" in page
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode in (0, 130), child.returncode


def publishes_to_a_served_gallery_with_a_token_file():
    token = scratch / "token"
    token.write_text("a-long-and-secret-token\n")
    token.chmod(0o600)
    server = start("gallery", "serve", scratch / "g9", "--listen", "127.0.0.1:0", "--token-file", token)
    address = re.search(r"http://\S+", server.stdout.readline()).group(0)
    try:
        refused = run("photos", few, "--to", address)
        assert refused.returncode == 1 and "--token-file" in refused.stderr and "published" not in refused.stdout, refused
        done = run("photos", few, "--to", address, "--token-file", token)
        assert done.returncode == 0 and "published 3 photos" in done.stdout, done.stdout
        assert "a-long-and-secret-token" not in done.stdout + done.stderr
        with_token = urllib.request.Request(address + "api/photos", headers={"Authorization": "Bearer a-long-and-secret-token"})
        assert json.load(urllib.request.urlopen(with_token))["total"] == 3
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
    assert server.returncode == 0, server.returncode


def a_directory_that_cannot_be_a_gallery_says_why():
    blocked = scratch / "a file"
    blocked.write_text("")
    done = run("photos", few, "--to", blocked)
    assert done.returncode in (1, 2) and "a file" in done.stderr, done


try:
    for function in [all_done_is_0_and_a_second_run_has_nothing_to_do, a_failed_photo_is_1_and_listed_with_path_and_reason, usage_is_2_with_a_hint,
                     json_is_all_of_stdout, a_dry_run_names_photos_and_leaves_nothing, a_gallery_is_never_its_own_source,
                     names_that_a_terminal_would_obey_are_shown_harmless, memory_too_small_for_a_photo_says_so,
                     an_unreachable_gallery_is_told_and_is_1, one_interrupt_drains_and_a_rerun_finishes,
                     two_interrupts_stop_and_nothing_half_published_is_left, the_terminal_is_clean_at_the_end, serves_while_it_fills_and_after,
                     publishes_to_a_served_gallery_with_a_token_file, a_directory_that_cannot_be_a_gallery_says_why,
                     isolated_decoders_make_the_same_and_the_death_of_one_costs_one_photo]:
        test(function)
finally:
    shutil.rmtree(scratch, ignore_errors=True)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
