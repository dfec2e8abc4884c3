#!/usr/bin/env python3
"""`penstock run` as its users meet it: exit codes, what is printed where, order, bounds, failures, signals, what is left behind.

usage: tool_test.py PENSTOCK
"""
import collections
import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

tool = str(pathlib.Path(sys.argv[1]).resolve())
only = sys.argv[2:]
scratch = pathlib.Path(tempfile.mkdtemp(prefix="penstock-run-"))
os.chdir(scratch)
passed = failed = 0


def test(function):
    global passed, failed
    if only and function.__name__ not in only:
        return
    try:
        function()
        passed += 1
    except Exception as error:  # a failed assertion, or anything else: told, and the others go on
        failed += 1
        print(f"FAILED {function.__name__}: {error!r}")


def run(*words, items="", **more):
    if isinstance(items, str):
        items = items.encode(errors="surrogateescape")
    done = subprocess.run([tool, "run", *map(str, words)], input=items, capture_output=True, timeout=240, **more)
    done.out, done.err = done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape")
    return done


def start(*words, **more):
    return subprocess.Popen([tool, "run", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def until(condition, child=None):
    while not condition():
        assert child is None or child.poll() is None, "it ended early: " + child.stderr.read()
        time.sleep(.005)


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def seq(n):
    return "".join(f"{i}\n" for i in range(1, n + 1))


# --- items and places ---

def each_item_goes_through_each_stage():
    done = run("-j2", "echo {} >>one", "::", "-j3", "echo {}", items=seq(50))
    assert done.returncode == 0 and not done.err, done
    assert sorted(done.out.split(), key=int) == [str(i) for i in range(1, 51)], done.out
    assert sorted(lines(scratch / "one"), key=int) == [str(i) for i in range(1, 51)]


def items_come_from_arguments_files_and_columns():
    (scratch / "list").write_text("x\ny")  # a last line without a newline is one
    (scratch / "more").write_text("z\n")
    assert run("-j1", "echo", "-a", ":::", "b", "c").out == "-a b\n-a c\n"
    assert run("-j1", "-a", "list", "-a", "more", "echo {}").out == "x\ny\nz\n"
    assert run("-j1", "-0", "echo", items="a b\0c\nd\0").out == "a b\nc\nd\n"
    assert run("-j1", "echo {1}-{2}", ":::", "a", "b", ":::", "1", "2").out == "a-1\na-2\nb-1\nb-2\n"
    assert run("-j1", "--csv", "echo {2}+{1}", items='"a ""b"", c",d\r\n"two\nlines",e\n').out == 'd+a "b", c\ne+two\nlines\n'
    assert run("-j1", "--tsv", "--header", "echo {who} {1} {no}", items="who\tage\nBo\t7\n").out == "Bo Bo {no}\n"
    done = run("-j1", "--csv", "--header", "echo {nmae} ${nmae} {.}", items="name,age\nBo,7\n")
    assert done.out == "{nmae} Bo,7\n" and done.err.count("did you mean {name}?") == 1, done
    assert not run("-j1", "--csv", "--header", "echo {age} | awk '{print}'", items="name,age\nBo,7\n").err
    assert run("-j1", "--colsep=::", "echo {2}", items="a::b\n").out == "b\n"
    assert run("echo", items="").out == ""
    assert run("echo {}", ":::").out == ""


def no_row_of_a_table_is_lost():
    # A quote inside a value is a character; one that begins a value quotes it.
    assert run("-j1", "--csv", "printf '<%s|%s>' {1} {2}", items='pipe 5" long,1\nb,2"3"\n"c",3\nd"",4\n"e""e","5\n6"\n').out == '<pipe 5" long|1><b|2"3"><c|3><d""|4><e"e|5\n6>'
    for text, rows in ('a,1\n"b,2\nc,3\n', 1), ('"b,2\nc,3', 0), ('a,1\nx,"', 1), ('a,1\n"b"",2\nc,3\n', 1):
        done = run("-j1", "--csv", "echo {1}", items=text)
        assert done.returncode == 1 and f"row {rows + 1}: a quote" in done.err and len(done.out.splitlines()) == rows, (text, done)
    (scratch / "open.csv").write_text('a,1\n"b,2\n')
    (scratch / "next.csv").write_text('c,3\nd,"4"\n')
    done = run("-j1", "--csv", "-a", "open.csv", "-a", "next.csv", "echo {1}")
    assert done.returncode == 1 and "open.csv ends inside a quoted value" in done.err, done
    # Names as spreadsheets write them.
    assert run("--csv", "--header", "echo {First Name} is {age}", items="First Name,age\nAnn,7\n").out == "Ann is 7\n"
    assert run("--csv", "--header", "echo", "{First Name}/x", items="First Name,age\nAnn,7\n").out == "Ann/x\n"
    assert run("--csv", "--header", "echo {First Name/.} is {age};", items='"First Name" , age\r\nd/Ann.x,7\r\n').out == "Ann is 7\n"
    for form in [], ["--tsv"], ["--colsep", ";"]:
        separator = {(): ",", ("--tsv",): "\t"}.get(tuple(form), ";")
        done = run("-j1", *(form or ["--csv"]), "--header", "echo {name} {age}", items=f"\ufeffname{separator}age\r\nAnn{separator}7\r\n")
        assert done.out == "Ann 7\n", (form, done)
    assert run("-j1", "--csv", "echo {2}{1}", items="\ufeffa,b\n").out == "ba\n"
    assert "UTF-16" in run("--csv", "echo {1}", items="a,b\n".encode("utf-16")).err
    assert run("--csv", "--header", "echo {in} {out}", items="in,out\n1,2\n").out == "1 2\n"
    assert "two columns are called a" in run("--csv", "--header", "echo {a}", items="a,a\n1,2\n").err


def a_number_is_no_other_items_number_after_a_resume():
    mine = scratch / "numbers"
    mine.mkdir()
    script = 'echo "content of {}" >{#}.txt'
    assert run("-j1", "--journal", "j", script, items="a\nb\n", cwd=mine).returncode == 0
    assert run("-j1", "--journal", "j", "--resume", script, items="new\na\nb\nlast\n", cwd=mine).returncode == 0
    assert run("-j1", "--journal", "j", "--resume", script, items="c\nlast\nd\nnew\nb\ne\n", cwd=mine).returncode == 0
    found = sorted(f.read_text() for f in mine.glob("*.txt"))
    assert found == sorted(f"content of {i}\n" for i in ["a", "b", "new", "last", "c", "d", "e"]), found
    # What failed has its number, too, and a second stage sees the same.
    script = "--pass", "echo {} >>f{#}.txt; [ -e fixed ]; echo {}", "::", "[ -e fixed ] && echo {#}={} >>second"
    assert run("-j1", "--journal", "k", *script, items="a\nb\n", cwd=mine).returncode == 1
    (mine / "fixed").touch()
    assert run("-j1", "--journal", "k", "--retry-failed", *script, items="c\nb\na\n", cwd=mine).returncode == 0
    assert sorted(lines(mine / "second")) == ["1=a", "2=b", "4=c"] or sorted(lines(mine / "second")) == ["1=a", "2=b", "3=c"], lines(mine / "second")


def an_item_without_the_column_fails_alone():
    done = run("-j1", "--csv", "echo {2}", items="a,b\nc\nd,e\n")
    assert done.returncode == 1 and done.out == "b\ne\n", done
    assert "c: has 1 columns, and the command asks for {2}" in done.err, done.err


def braces_that_are_no_place_are_text():
    assert run("-j1", "echo", "a{3} {{}} {print} {}", ":::", "x").out == "a{3} {} {print} x\n"
    assert run("-j1", "n=5; echo ${n} ${1-none} {}", ":::", "x").out == "5 none x\n"


def parts_of_paths():
    done = run("-j1", "echo {} {.} {/} {//} {/.}", ":::", "a/b.tar.gz", "plain", "/x", "dir.d/.hidden")
    assert done.out.splitlines() == ["a/b.tar.gz a/b.tar b.tar.gz a b.tar", "plain plain plain . plain", "/x /x x / x",
                                     "dir.d/.hidden dir.d/.hidden .hidden dir.d .hidden"], done.out


def the_environment_has_the_values_too():
    done = run("-j1", "--pass", "--env", "COLOR=red", "echo $COLOR-{}", "::", 'echo "$PENSTOCK_ITEM|$PENSTOCK_IN|$PENSTOCK_SEQ|$PENSTOCK_STAGE|$COLOR"', ":::", "a b")
    assert done.out == "red-a b|a b|1|echo-2|red\n", done.out


def what_goes_on_to_the_next_stage():
    assert run("-j1", "echo {}; echo last-{}", "::", "echo {}:{out}", ":::", "a").out == "a:last-a\n"
    assert run("-j1", "--pass", "printf 'x\\ny{}'", "::", "echo {}:{in}:{out}", ":::", "a").out == "ya:a:ya\n"
    assert run("-j1", "--pass", "true", "::", "echo {}", ":::", "a").out == ""  # nothing printed: nothing goes on
    assert run("-k", "-j1", "--lines", "seq {}", "::", "echo {#} {in} {}", ":::", "2", "1").out == "1.1 2 1\n1.2 2 2\n2.1 1 1\n"


NASTY = ["a b", "it's", 'say "x"', "$(touch pwned)", "`touch pwned`", "; touch pwned;", "|touch pwned", "&& touch pwned", "new\nline", "-rf", "--", "*", "~",
         "\\", "\\n", "$HOME", "#x", "a'$(touch pwned)'b", 'a"$(touch pwned)"b', "a" * 4096, "{}", "{.}", "!x", "tab\there", "\udcff\udc80", " lead", "trail ", "'", '"', "$", "=x", "<x", ">pwned"]


def names_go_through_every_kind_of_quoting_unharmed():
    show = scratch / "show.py"
    show.write_text("#!/usr/bin/env python3\nimport os,sys\nsys.stdout.buffer.write(b'\\0'.join(os.fsencode(a) for a in sys.argv[1:]) + b'\\1')\n")
    show.chmod(0o755)
    items = "\0".join(NASTY) + "\0"
    forms = [
        ([f"{show}", "{}"], lambda i: i),  # executed as it is
        ([f"{show} {{}}"], lambda i: i),  # no shell needed
        ([f"{show} {{}}; true"], lambda i: i),
        ([f'{show} "{{}}"; true'], lambda i: i),
        ([f"{show} '{{}}'; true"], lambda i: i),
        ([f"{show} \"<{{}}>\"'<{{}}>'<{{}}>; true".replace("<{}>;", "{};")], lambda i: f"<{i}><{i}>{i}"),
        ([f'x={{}}; {show} "$x"'], lambda i: i),
        ([f'{show} "$(printf %s. {{}})"; true'], lambda i: i + "."),
        ([f'{show} "$(printf %s. "{{}}")"; true'], lambda i: i + "."),
        ([f'{show} "`printf %s. {{}}`"; true'], lambda i: i + "."),
        ([f'{show} "${{none:-x}}{{}}"; true'], lambda i: "x" + i),
        ([f'{show} "$(cat <<END\n{{}}.\nEND\n)"; true'], lambda i: i + "."),
        ([f"# it's a comment\n{show} {{}}"], lambda i: i),
        (["sh", "-c", f"{show} {{}}"], lambda i: i),
        (["env", "X=1", "sh", "-c", f"{show} '{{}}'"], lambda i: i),
        ([f'{show} "$PENSTOCK_ITEM"'], lambda i: i),
        ([f"sh -c '{show} \"$PENSTOCK_ITEM\"'"], lambda i: i),
    ]
    for words, expected in forms:
        done = run("-0", "-k", "-j2", *words, items=items)
        assert done.returncode == 0, (words, done.err)
        got = done.out.split("\1")[:-1]
        wanted = [expected(i) for i in NASTY]
        assert got == wanted, (words, [(g, w) for g, w in zip(got, wanted) if g != w], len(got), len(wanted))
        assert not (scratch / "pwned").exists(), words
    # {out} and --pass carry them on, but for a line's end.
    plain = [i for i in NASTY if "\n" not in i]
    done = run("-0", "-k", "-j2", "--pass", "printf '%s\\n' {}", "::", f"{show} {{}} {{out}}; true", items="\0".join(plain) + "\0")
    assert done.out.split("\1")[:-1] == [f"{i}\0{i}" for i in plain], done.out
    # What is shown of a dry run can be typed.
    typed = run("-0", "-n", f"{show} {{}} \"{{}}\" '{{}}'; true", items="\0".join(plain) + "\0")
    again = subprocess.run(["sh"], input=typed.stdout, capture_output=True)
    assert again.stdout.decode(errors="surrogateescape").split("\1")[:-1] == ["\0".join([i] * 3) for i in plain], again
    assert not (scratch / "pwned").exists()


def a_value_gets_through_what_drops_the_environment():
    """A script with an empty word in place of the item would remove everything: here the folder that the items are in."""
    wrappers = [["env", "-i"], ["env", "-i", "nice"], ["setsid", "-w", "env", "-i"], ["env", "-i", "xargs"]]
    item = "a 'b' $(touch pwned)"
    for wrapper in wrappers:
        for script in ["rm -rf lost/{}", "rm -rf lost/'{}'", 'rm -rf "lost/{}"', 'f() { rm -rf "lost/$1"; }; f {}', "set -- other; rm -rf lost/{}", 'rm -rf "lost/$1"',
                       "rm -rf lost/{//}/{/}", "rm -rf $(printf %s lost)/{}", "rm -rf \"lost/$PENSTOCK_ITEM\"", 'rm -rf "lost/${PENSTOCK_ITEM%x}"']:
            for name in [[], ["sh"], ["sh", "more"]]:
                if "$1\"" in script and "{}" not in script and name:
                    continue  # then $1 is theirs
                for dry in False, True:
                    for there in "keep", item:
                        (scratch / "lost" / there).mkdir(parents=True, exist_ok=True)
                    words = [*wrapper, "sh", "-c", script, *name]
                    if dry:
                        typed = run("-n", *words, ":::", item)
                        assert typed.returncode == 0 and "touch pwned" in typed.out, (words, typed)
                        subprocess.run(["sh"], input=typed.stdout.replace(b"\n", b" </dev/null\n"), check=True)
                    else:
                        done = run(*words, ":::", item)
                        assert done.returncode == 0, (words, done)
                    assert os.listdir("lost") == ["keep"] and not (scratch / "pwned").exists(), (words, dry, os.listdir("lost"))
    # Their own arguments stay theirs.
    assert run("-j1", "env", "-i", "sh", "-c", 'echo {} "$0" "$1" "$@" $#', "me", "x", ":::", "i").out == "i me x x 1\n"
    assert run("-j1", "echo $# ${1-none} {}", ":::", "i").out == "0 none i\n"
    assert run("-j1", 'echo "$1" $#', ":::", "i j").out == "i j 1\n"
    assert run("-j1", "--csv", "env", "-i", "sh", "-c", "echo " + "".join(f"{{{i}}}" for i in range(1, 13)), items="a,b,c,d,e,f,g,h,i,j,k,l\n").out == "abcdefghijkl\n"
    # A variable that is lost ends the script.
    (scratch / "lost" / "x").mkdir()
    for words in [["env -i sh -c 'rm -rf lost/$PENSTOCK_ITEM'"], ["env -i sh -c 'rm -rf lost/${PENSTOCK_ITEM}'"], ["env", "-i", "flock", "lock", "-c", "rm -rf lost/$PENSTOCK_ITEM"]]:
        done = run(*words, ":::", "x")
        assert done.returncode == 1 and sorted(os.listdir("lost")) == ["keep", "x"] and "PENSTOCK_ITEM" in done.err, (words, done)


def a_dry_run_does_the_same_when_it_is_typed():
    for script in ["printf '<%s>' {} \"a{}b\" 'c{}d'", "cd / && printf %s {}", 'x={}; printf %s "$x"', "printf %s \"`printf %s {}`\"", "cat <<E\n{}\nE", ": # {}\nprintf %s {}",
                   'printf %s "$1"', 'printf %s "$PENSTOCK_ITEM"', 'printf %s "${PENSTOCK_ITEM%x}"', 'printf %s "${none:-{}}"', "set -- a; printf %s {} $1"]:
        for item in ["a b", "it's", "x\nE\ntouch pwned", "`touch pwned`", "$(touch pwned)", "\\", '"; touch pwned; "', "!x"]:
            told = run("-0", script, items=item)
            typed = run("-0", "-n", script, items=item)
            again = subprocess.run(["sh"], input=typed.stdout + b"pwd >where\n", capture_output=True)
            assert told.returncode == 0 and again.stdout == told.stdout and not (scratch / "pwned").exists(), (script, item, told, typed, again)
            assert lines(scratch / "where") == [str(scratch)], script
    # In its directory and with its environment, too.
    (scratch / "there" / "sub").mkdir(parents=True)
    typed = run("-n", "--cwd", "there", "--env", "X=a b", "pwd; echo \"$X\" {}", ":::", "i", "j")
    assert subprocess.run(["sh"], input=typed.stdout, capture_output=True).stdout.decode() == "".join(f"{scratch}/there\na b {i}\n" for i in "ij"), typed


def where_a_value_would_be_code_the_template_is_refused():
    for words in [["bash -c 'echo {}'"], ['sh -ec "echo {}"'], ["eval 'echo {}'"], ["echo $(( {} + 1 ))"], ["cat <<'E'\n{}\nE"]]:
        done = run(*words, items="1\n")
        assert done.returncode == 2 and "{}" in done.err and not done.out, (words, done)


def no_value_is_code_for_another_shell():
    """Each of these would run what a file name says: refused, with a word on what to write."""
    code = "x'\"; touch pwned; : '\""
    for words in [["bash -e -c 'echo {}'"], ["bash", "-e", "-c", "echo {}"], ["bash -euo pipefail -c 'echo {}'"], ["sh -c -- 'echo {}'"], ["eval echo {}"],
                  ["trap 'echo {}' EXIT; true"], ["su -c 'echo {}'"], ["ssh nowhere.invalid 'echo {}'"], ["ssh", "nowhere.invalid", "echo", "{}"], ["sh -c 'echo '{}"]]:
        done = run(*words, items=code + "\n")
        assert not (scratch / "pwned").exists() and "would be read as code" in done.err + done.out or words[0] == "bash" and code in done.out, (words, done)
    # What is said to write instead is there.
    inner = "bash -c 'echo \"$PENSTOCK_ITEM_STEM|$PENSTOCK_IN_NAME|$PENSTOCK_1|$PENSTOCK_1_DIRECTORY\"'"
    assert run(inner, ":::", "a/$(id).b").out == "a/$(id)|$(id).b|a/$(id).b|a\n"
    assert run("echo {{}} \\{} {} \"\\{}\";:", ":::", "$(id)").out == "{} {} $(id) \\$(id)\n"


def an_item_without_a_place_is_not_executed():
    for script in ["true;", "true &", "true\n:;\n", "true # and so on", "cat <<E\nE\ncat <<E\nx\nE"]:
        done = run(script, ":::", "touch-pwned", "id")
        assert done.returncode == 2 and "write {} where it belongs" in done.err and not done.out, (script, done)
    assert run("-j1", "\necho one\necho\n", ":::", "id").out == "one\nid\n"


# --- output ---

def output_is_whole_jobs():
    done = run("-j8", "for i in 1 2 3 4 5; do echo {}; done", items=seq(40))
    got = done.out.split()
    assert all(len(set(got[i:i + 5])) == 1 for i in range(0, 200, 5)) and len(got) == 200, got


def large_output_is_whole_too():
    done = run("-j3", "--tag", "seq 400000 | sed s/^/{}:/", ":::", "a", "b", "c")
    runs = [line.split("\t")[0] for line in done.out.splitlines()]
    assert len(runs) == 1_200_000 and sum(x != y for x, y in zip(runs, runs[1:])) == 2
    assert all(line.split("\t")[1].startswith(line[0] + ":") for line in done.out.splitlines()[::1000])


def the_order_is_kept_where_it_is_asked_for():
    # The first is the last to be done: it waits for a file that the last one makes.
    wait = "if [ {} = 1 ]; then until [ -e go ]; do sleep .01; done; fi; [ {} = 12 ] && touch go; echo {}"
    done = run("-k", "-j4", "--capacity", "16", wait, "::", "-j4", "--capacity", "16", "echo {}", items=seq(12))
    assert done.out == seq(12), done.out
    done = run("-k", "-j3", "--lines", "seq {}", "::", "-j3", "echo {in}/{}; test {} != 2", items=seq(4))
    assert done.returncode == 1 and done.out == "".join(f"{i}/{j}\n" for i in range(1, 5) for j in range(1, i + 1)), done.out


def output_comes_the_moment_a_job_ends():
    child = start("-j2", "echo {}", stdin=subprocess.PIPE)
    child.stdin.write("one\n")
    child.stdin.flush()
    assert child.stdout.readline() == "one\n"  # though the input has not ended
    child.stdin.close()
    assert child.wait() == 0


def items_do_not_wait_for_the_next_ones():
    child = start("-j2", "--worker", "cat", stdin=subprocess.PIPE)
    for burst in (500, 1, 2000):  # fast ones, and then a pause
        child.stdin.write(seq(burst))
        child.stdin.flush()
        for _ in range(burst):
            assert child.stdout.readline()
    child.stdin.close()
    assert child.wait() == 0


def line_buffered_output_comes_while_the_job_runs():
    child = start("-j1", "--line-buffer", "--tag", "echo first; until [ -e on ]; do sleep .01; done; printf second", ":::", "x")
    assert child.stdout.readline() == "x\tfirst\n"
    (scratch / "on").touch()
    assert child.stdout.read() == "x\tsecond\n"
    assert child.wait() == 0


def earlier_stages_are_shown_only_where_asked():
    assert run("-j1", "echo one", "::", "echo two {}", ":::", "x").out == "two x\n"
    done = run("-j1", "--show", "echo one {}", "::", "echo two {out}", ":::", "x")
    assert done.out == "two one x\n" and done.err == "one x\n", done


def a_reader_that_has_enough_ends_the_run():
    child = subprocess.Popen(f"yes | '{tool}' run -j2 echo | head -n 2", shell=True, stdout=subprocess.PIPE)
    assert child.communicate(timeout=60)[0] == b"y\ny\n"


def a_full_disk_is_told():
    with open("/dev/full", "w") as full:
        done = subprocess.run([tool, "run", "echo", ":::", "x"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "No space left" in done.stderr, done


def a_closed_standard_descriptor_is_not_taken_by_something_else():
    def without(*numbers):
        return lambda: [os.close(n) for n in numbers]
    done = run("echo", preexec_fn=without(0))
    assert done.returncode == 2 and "stdin" in done.err, done
    assert run("echo", ":::", "x", preexec_fn=without(0)).out == "x\n"
    done = run("--journal", "closed.journal", "echo", ":::", "x", preexec_fn=without(0, 1))
    assert done.returncode == 1 and "Bad file descriptor" in done.err, done
    assert lines(scratch / "closed.journal") == ["penstock journal 1"]
    (scratch / "closed.journal").unlink()
    assert run("--journal", "closed.journal", "echo x >&2", ":::", "x", preexec_fn=without(0, 1, 2)).returncode == 0
    assert [line.split("\t")[0] for line in lines(scratch / "closed.journal")] == ["penstock journal 1", "done"]


# --- bounds ---

def no_stage_runs_further_ahead_than_was_declared():
    """seq 5000 | penstock run -j3 'true {}' :: -j1 'sleep 0.1; true {}', killed after 8 s: with a gate in place of the time."""
    one, two, gate = scratch / "ahead-1", scratch / "ahead-2", scratch / "gate"
    os.mkfifo(gate)
    child = start("-j3", "echo {} >>ahead-1", "::", "-j1", "read x <gate; echo {} >>ahead-2", stdin=subprocess.PIPE)
    feeder = subprocess.Popen(["seq", "5000"], stdout=child.stdin)
    child.stdin.close()
    bound = 3 + 2 + 1  # workers of the first, capacity (twice its workers) and workers of the second
    keep = os.open(gate, os.O_RDWR)
    worst = 0
    for turn in range(1, 20):
        until(lambda: len(lines(one)) >= turn + 2, child)
        worst = max(worst, len(lines(one)) - len(lines(two)))
        os.write(keep, b"\n")
        until(lambda: len(lines(two)) >= turn, child)
    until(lambda: len(lines(one)) - len(lines(two)) >= bound - 1, child)  # it is used, too
    worst = max(worst, len(lines(one)) - len(lines(two)))
    child.kill()
    child.wait()
    feeder.wait()
    os.close(keep)
    assert worst <= bound, f"{worst} ahead, {bound} declared"


def max_in_flight_holds_for_the_whole_run():
    done = run("-j8", "--capacity", "8", "--max-in-flight", "3", "echo + >>flight # {}", "::", "-j8", "echo - >>flight # {}", items=seq(60))
    assert done.returncode == 0
    now = most = 0
    for line in lines(scratch / "flight"):
        now += 1 if line == "+" else -1
        most = max(most, now)
    assert now == 0 and most <= 3, most


def no_more_input_is_read_than_is_used():
    child = start("-j1", "--capacity", "1", "--max-in-flight", "1", "echo {}; read x <stdin-gate", stdin=subprocess.PIPE)
    os.mkfifo(scratch / "stdin-gate")
    child.stdin.write("a\n")
    child.stdin.close()
    keep = os.open(scratch / "stdin-gate", os.O_RDWR)
    os.write(keep, b"\n")
    assert child.wait() == 0
    os.close(keep)


# --- failure ---

def a_failed_item_is_1_and_told_and_the_others_go_on():
    done = run("-j2", "test {} != 3", "::", "echo {}", items=seq(5))
    assert done.returncode == 1 and sorted(done.out.split()) == ["1", "2", "4", "5"], done
    assert "penstock: test: 3: exited with 1" in done.err, done.err


def on_fail_stop_ends_the_run():
    done = run("-j1", "--on-fail", "stop", "echo {}; test {} != 3", items=seq(1000))
    assert done.returncode == 1 and done.out == "1\n2\n3\n", done
    # Though others wait for their turn, and nothing more comes.
    child = start("-k", "-j3", "--on-fail", "stop", "[ {} != 1 ] || until [ -e stopping ]; do sleep .01; done; echo {} | tee -a stopped; test {} != 1", stdin=subprocess.PIPE)
    child.stdin.write(seq(9))
    child.stdin.flush()
    until(lambda: len(lines(scratch / "stopped")) >= 2, child)
    (scratch / "stopping").touch()
    out = child.stdout.read()
    assert child.wait() == 1 and out.startswith("1\n2\n"), out


def retries_are_counted_and_the_output_is_the_last_attempts():
    script = "echo {} >>tries; echo try $PENSTOCK_ATTEMPT; test $(grep -cx {} tries) -ge 3"
    done = run("-j2", "--retries", "2", "--backoff", "1ms", script, items=seq(4))
    assert done.returncode == 0 and done.out == "try 3\n" * 4 and done.err.count("trying again") == 8, done
    done = run("-j1", "--on-fail", "retry", "--backoff", "1ms", "echo x >>tries2; false", ":::", "a")
    assert done.returncode == 1 and len(lines(scratch / "tries2")) == 3, done


def a_timeout_ends_the_job_and_what_it_started():
    done = run("-j1", "--timeout", "200ms", "--term-seq", "TERM,100ms,KILL", "trap '' TERM; sleep 1000 & echo $! >grandchild; wait; wait; sleep 1000", ":::", "x")
    assert done.returncode == 1 and "took longer than 200 ms" in done.err, done
    until(lambda: not alive(int((scratch / "grandchild").read_text())))


def usage_is_2_with_a_hint():
    for words, hint in [([], "a command is missing"), (["--job", "2", "x"], "did you mean --jobs"), (["-j"], "needs a value"), (["-j", "0", "x"], "number of workers"),
                        (["echo", "::"], "missing after"), (["echo", "::", "--null", "cat"], "before the first command"), (["no-such-program-at-all"], "no program"),
                        (["--timeout", "soon", "x"], "not a time"), (["--term-seq", "NOPE", "x"], "signals and times"), (["-a", "/not/there", "echo"], "No such file"),
                        (["echo", "|", "cat"], "put the whole command in quotes"), (["--pass", "echo"], "last stage"), (["--header", "echo"], "--csv"),
                        (["--name", "a", "x", "::", "--name", "a", "y"], "two stages"), (["--null=1", "x"], "takes no value"), (["-k", "--line-buffer", "x"], "choose one"),
                        (["--on-fail", "perhaps", "x"], "stop, drop or retry"), (["echo", "::::", "f"], "GNU parallel"),
                        (["echo", ":::", "a", ":::+", "b"], "GNU parallel"), (["echo", ":::", "a", "::", "cat"], "items come last")]:
        done = run(*words)
        assert done.returncode == 2 and hint in done.err and not done.out, (words, done)
    help_text = run("-j2", "--help")
    assert help_text.returncode == 0 and "--keep-order" in help_text.out and max(map(len, help_text.out.splitlines())) <= 120


# --- the rest ---

def a_pipeline_can_be_a_file():
    (scratch / "p.toml").write_text("""
keep-order = true
retries = 1
items = ["b", 7]
[[stage]]
name = "one"
command = ["printf", "%s %s\\n", "{}", "$X"]
jobs = 2
env = {X = "red"}
[[stage]]
command = "echo {out} $PENSTOCK_STAGE"
jobs = "1..2"
""")
    assert run("p.toml").out == "b $X echo\n7 $X echo\n"
    assert run("p.toml", ":::", "z").out == "z $X echo\n"
    assert run("--tag", "-a", "-", "p.toml", items="q\n").out == "q\tq $X echo\n"
    for text, hint in [("x = 1\n[[stage]]\ncommand='true'", "line 1: there is no \"x\""), ("[[stage]]\ncommand='true'\njobs='many'", "line 3: --jobs"),
                       ("[[stage]]\njobs=1", "line 1: a stage needs a command"), ("jobs=1\n[[stage]]\ncommand='true'", "belongs to one stage"),
                       ("[[stage]]\ncommand='true'\nnull=true", "belongs to the whole run"), ("null='x'\n[[stage]]\ncommand='true'", "true or false"), ("", "no [[stage]]"),
                       ("[[stage]", "line 1")]:
        (scratch / "bad.toml").write_text(text)
        done = run("bad.toml")
        assert done.returncode == 2 and hint in done.err, (text, done)
    assert "stand in p.toml" in run("-j2", "p.toml").err


def workers_that_do_not_flush_answer():
    for worker in "sed s/^/x/", "grep --invert-match q", "tr a b", "sed s/a/b/ | sed s/a/b/", "python3 -c 'import sys\nfor line in sys.stdin: print(line, end=\"\")'":
        done = run("-k", "-j2", "--worker", worker, items=seq(3))
        assert done.returncode == 0 and done.out.replace("x", "") == seq(3), (worker, done)
    # One that keeps its answers all the same: a word on it.
    child = start("-j1", "--worker", "python3 -c 'import sys\nout = open(1, \"w\", buffering=9999)\nfor line in sys.stdin: out.write(line)'", stdin=subprocess.PIPE)
    child.stdin.write("a\n")
    child.stdin.flush()
    assert "python3 -u" in child.stderr.readline()
    child.send_signal(signal.SIGQUIT)
    child.communicate(timeout=60)


def workers_live_long_and_are_replaced():
    (scratch / "worker.py").write_text("""
import os, sys
print(os.getpid(), file=open("worker-pids", "a"))
for line in sys.stdin:
    if line == "die\\n": os._exit(3)
    if line == "hang\\n": sys.stdin.read()
    print("got", line, end="", flush=True)
""")
    done = run("-k", "-j2", "--worker", "python3 worker.py", "::", "echo {out}", items="".join(f"{i}\n" for i in range(100)))
    assert done.returncode == 0 and done.out == "".join(f"got {i}\n" for i in range(100)), done
    assert len(lines(scratch / "worker-pids")) <= 2
    # Fast enough for the pipeline to work in batches: order and bounds hold all the same.
    for words in [["-k"], ["-k", "--capacity", "64"], ["--max-in-flight", "3"]]:
        done = run(*words, "-j3", "--worker", "cat", items=seq(20000))
        assert sorted(done.out.split(), key=int) == seq(20000).split() and (words[0] != "-k" or done.out == seq(20000)), words
    done = run("-k", "-j1", "--timeout", "500ms", "--worker", "python3", "worker.py", items="a\ndie\nb\nhang\nc\n")
    assert done.returncode == 1 and done.out == "got a\ngot b\ngot c\n", done
    assert "die: " in done.err and "hang: " in done.err, done.err
    assert run("--worker", "cat {}").returncode == 2
    # One that says too much, whenever that is found out.
    for items in ["a\n", "a\nb\nc\n"]:
        done = run("-j1", "--worker", "while read x; do printf '%s\\nextra\\n' $x; done", items=items)
        assert done.returncode == 1 and ("more than one line" in done.err or "before it was asked" in done.err), done
    for _ in range(10):
        done = run("-j1", "--worker", "while read x; do echo $x; echo extra; done", items="a\nb\nc\n")
        assert done.returncode == 1 and ("more than one line" in done.err or "before it was asked" in done.err), done
    assert run("-j1", "--worker", "cat; echo goodbye", items="a\nb\n").returncode == 0


def a_halt_rule_ends_the_run():
    done = run("-j1", "--halt", "soon,success=3", "echo", items=seq(1000))
    assert done.returncode == 0 and len(done.out.split()) == 3, done
    done = run("-j1", "--halt", "soon,fail=2", "false", items=seq(1000))
    assert done.returncode == 1 and done.err.count("exited with 1") == 2, done
    done = run("-j1", "--halt", "soon,fail=50%", "echo {}; test $(({#} % 2)) = 0", items=seq(1000))
    assert done.returncode == 1 and len(done.out.split()) == 20, done.out
    done = run("-j1", "--halt", "soon,fail=30%", "echo {}; test $(({#} % 2)) = 0", ":::", *range(1, 11))  # three of the ten
    assert done.returncode == 1 and done.out.split() == ["1", "2", "3", "4", "5"], done.out
    done = run("-j1", "--halt", "soon,done=10%", "echo {}", ":::", *range(50))
    assert done.returncode == 0 and len(done.out.split()) == 5, done
    done = run("-j2", "--halt", "now,fail=1", "if [ {} = 2 ]; then until [ -e halting ]; do sleep .01; done; exit 1; fi; touch halting; sleep 1000", items=seq(2))
    assert done.returncode == 1 and "2: exited with 1" in done.err and "1: exited" not in done.err, done


def the_job_log_has_gnu_parallels_columns():
    run("-j1", "--retries", "1", "--backoff", "1ms", "--joblog", "jobs.log", "printf abc; test {} != 'x\ty'", "::", "kill -9 $$ # {}", items="a\nx\ty\n")
    rows = [line.split("\t") for line in lines(scratch / "jobs.log")]
    assert rows[0] == "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command Stage Attempt".split(), rows[0]
    first = [r for r in rows[1:] if r[9] == "printf"]
    assert [(r[0], r[6], r[10]) for r in first] == [("1", "0", "1"), ("2", "1", "1"), ("2", "1", "2")], rows
    assert first[1][8] == "printf abc; test 'x\\ty' != 'x\\ty'", first
    kills = [r for r in rows[1:] if r[9] == "kill"]
    assert [(r[6], r[7]) for r in kills] == [("0", "9"), ("0", "9")], kills
    assert all(abs(float(r[2]) - time.time()) < 3600 and float(r[3]) < 600 for r in rows[1:])


def results_are_kept():
    done = run("-j1", "--results", "kept", "echo out-{}; echo err-{} >&2; exit 3", ":::", "a b")
    there = scratch / "kept/echo/1"
    assert done.out == "out-a b\n" and {f.name: f.read_text() for f in there.iterdir()} == {
        "stdout": "out-a b\n", "stderr": "err-a b\n", "item": "a b", "status": "exited with 3\n"}, done


def the_report_is_json():
    import json
    assert run("--json", "report.json", "true", "::", "true", items=seq(5)).returncode == 0
    report = json.loads((scratch / "report.json").read_text())
    assert report["entered"] == report["delivered"] == 5 and [s["name"] for s in report["stages"]] == ["source", "true", "true-2"], report


def the_bar_leaves_stdout_clean_and_tells_how_long():
    import pty
    terminal, end = pty.openpty()
    child = subprocess.Popen([tool, "run", "--bar", "-j1", "echo {}; until [ -e bar-on ]; do sleep .01; done", ":::", "a", "b"], stdout=subprocess.PIPE, stderr=end)
    os.close(end)
    seen = b""
    while b"of 2" not in seen and b"/2" not in seen:
        seen += os.read(terminal, 4096)
    (scratch / "bar-on").touch()
    assert child.communicate(timeout=60)[0] == b"a\nb\n" and child.returncode == 0
    os.close(terminal)


def nice_and_memory_and_load_are_obeyed():
    assert run("--nice", "7", "-j1", "cut -d' ' -f19 /proc/self/stat # {}", ":::", "x").out == f"{min(19, os.nice(0) + 7)}\n"
    assert run("--memfree", "1k", "--load", "100000", "echo", ":::", "x").out == "x\n"
    child = start("--memfree", "1000000G", "echo", ":::", "x")
    assert "--memfree" in child.stderr.readline()  # why nothing happens
    child.send_signal(signal.SIGINT)
    child.stderr.readline()
    time.sleep(.3)  # sooner, it would be the same signal
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[0] == "" and child.returncode == 130


def the_manual_and_completion_know_every_option():
    options = {w for line in run("--help").out.splitlines() if line.startswith(("  -", "      --")) for w in [line.split("--", 1)[1].split()[0]]}
    assert len(options) > 30, options
    manual, bash, zsh = (run(f"--print-{what}").out for what in ("manual", "bash-completion", "zsh-completion"))
    for option in options:
        assert "\\-\\-" + option.replace("-", "\\-") in manual and f"--{option} " in bash.replace('"', " ") and f"--{option}[" in zsh, option
    asked = "source /dev/stdin; COMP_WORDS=(penstock run --max); COMP_CWORD=2; compopt() { :; }; _penstock; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", asked], input=bash, capture_output=True, text=True)
    assert done.stdout == "--max-in-flight\n", done


def what_cannot_be_written_is_told_before_the_work():
    (scratch / "plain-file").write_text("")
    for option in ["--joblog", "--journal", "--json", "--results"]:
        for path in ["plain-file/x", "/proc/x", *(["plain-file"] if option == "--results" else ["not-there/x", "."])]:
            done = run(option, path, "echo worked", ":::", "x")
            assert done.returncode == 2 and not done.out and f"{option} {path}" in done.err, (option, path, done)
    done = run("--joblog", "/dev/full", "-j1", "echo", ":::", "a", "b")
    assert done.returncode == 1 and done.err.count("/dev/full: No space left") == 1 and done.out == "a\nb\n", done


def results_of_an_earlier_run_stay_with_their_item():
    first = run("-j1", "--results", "again", "--journal", "again.journal", "--halt", "soon,done=2", "echo", items=seq(3))
    assert first.returncode == 0
    assert run("-j1", "--results", "again", "--journal", "again.journal", "--resume", "echo", items="9\n3\n2\n1\n").out == "9\n3\n"
    there = {f.parent.name: f.read_text() for f in (scratch / "again").glob("echo/*/stdout")}
    assert there == {"1": "1\n", "2": "2\n", "1~2": "9\n", "2~2": "3\n"}, there


def jobs_do_not_fail_for_want_of_descriptors():
    import resource
    def limits(soft, hard):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    done = run("-j40", "echo {}; sleep .05", items=seq(60), preexec_fn=limits(64, 64))
    assert done.returncode == 0 and len(done.out.split()) == 60 and "ulimit -n" in done.err, done.err[-500:]
    # All at the same time, where the hard limit allows it.
    done = run("-j40", "touch at-once-{}; until [ $(ls at-once-* | wc -l) = 40 ]; do sleep .05; done", items=seq(40), preexec_fn=limits(64, 1024))
    assert done.returncode == 0 and not done.err, done.err[-500:]


def our_own_failures_are_not_the_commands():
    # A full disk under the journal: what was done stays done. (Where a file system can be mounted.)
    full = scratch / "full"
    full.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", full], capture_output=True).returncode == 0:
        try:
            words = ["-j2", "--journal", "full/j"], ["echo {} >>ours; echo {}"]
            done = run(*words[0], *words[1], items=seq(300))
            assert done.returncode == 1 and "No space left" in done.err and 0 < len(lines(scratch / "ours")) < 300, done.err
            subprocess.run(["mount", "-o", "remount,size=1m", full], check=True)
            assert run(*words[0], "--resume", *words[1], items=seq(300)).returncode == 0
            assert sorted(map(int, lines(scratch / "ours"))) == list(range(1, 301))
        finally:
            subprocess.run(["umount", full], check=True)
    # The results directory cannot be written: not tried again, not forgotten.
    words = ["-j1", "--retries", "2", "--backoff", "1ms", "--results", "kept", "--journal", "kept-journal", "--resume", "--name", "it",
             "echo {} >>kept-log; rm -rf kept; touch kept; echo {}"]
    done = run(*words, items=seq(3))
    assert done.returncode == 1 and "--results" in done.err and lines(scratch / "kept-log") == ["1"], done
    (scratch / "kept").unlink()
    words[-1] = "echo {} >>kept-log; rm -rf kept; touch kept; echo {}"
    words[words.index("--results"):words.index("--results") + 2] = []
    assert run(*words, items=seq(3)).returncode == 0 and lines(scratch / "kept-log") == ["1", "2", "3"]
    # stdout is full, and what a job printed has no room in TMPDIR.
    with open("/dev/full", "w") as device:
        words = ["-j1", "--journal", "out-journal", "--resume", "echo {} >>out-log; echo {}"]
        done = subprocess.run([tool, "run", *words, ":::", "1", "2", "3"], stdout=device, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "1: it has succeeded, but what it printed is lost" in done.stderr, done
    assert run(*words, ":::", "1", "2", "3").returncode == 0 and sorted(lines(scratch / "out-log")) == ["1", "2", "3"]
    words = ["-j1", "--journal", "tmp-journal", "--resume", "echo {} >>tmp-log; head -c 2000000 /dev/zero"]
    done = run(*words, ":::", "1", "2", env={**os.environ, "TMPDIR": "/not/there"})
    assert done.returncode == 1 and "what it printed is lost" in done.err, done.err
    assert run(*words, ":::", "1", "2").returncode == 0 and sorted(lines(scratch / "tmp-log")) == ["1", "2"]


def messages_say_what_to_do():
    (scratch / "no-program").write_text("echo x")
    (scratch / "folder.toml").mkdir()
    for words, hint in [(["./no-program"], "chmod +x"), (["nothing.toml"], "nothing.toml: No such file"), (["folder.toml"], "is a directory"),
                        (["rm -rf {out}/x", ":::", "a"], "this is the first")]:
        done = run(*words)
        assert done.returncode == 2 and hint in done.err and "line 0" not in done.err, (words, done)
    done = run("printf %s {} | wc -c", items="é" * 500_000)
    assert done.returncode == 1 and "(1000000 bytes): cannot start" in done.err and len(done.err) < 1000, done.err[-300:]
    done = run("-0", "--worker", "-j1", "cat", items="a\nb\0c\0")
    assert done.returncode == 1 and done.out == "c\n" and "has a newline in it" in done.err and "request" not in done.err, done


# --- signals ---

def one_interrupt_drains():
    for number in (signal.SIGINT, signal.SIGTERM):
        mine = scratch / f"drain-{number}"
        mine.mkdir()
        child = start("-j2", "echo {} >>begun; until [ -e go ]; do sleep .01; done", "::", "echo {}", stdin=subprocess.PIPE, cwd=mine)
        child.stdin.write(seq(3))
        child.stdin.flush()  # and it stays open: more could come
        until(lambda: len(lines(mine / "begun")) == 2, child)
        child.send_signal(number)
        until(lambda: select.select([child.stderr], [], [], 0)[0], child)
        (mine / "go").touch()
        out, err = child.communicate(timeout=60)
        # What had entered is finished; the third may have been read already.
        assert child.returncode == 130 and {"1", "2"} <= set(out.split()) <= {"1", "2", "3"}, (out, err)
        assert sorted(lines(mine / "begun")) == sorted(out.split()), (out, err)


def an_interrupt_does_not_wait_out_the_pauses_before_retries():
    what = "echo {} >>hurried-tries; [ -e better ]", ":::", "a"
    child = start("-j1", "--retries", "2", "--backoff", "1h", "--journal", "hurried", *what)
    assert "trying again" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    err = child.communicate(timeout=60)[1]
    assert child.returncode == 130 and lines(scratch / "hurried-tries") == ["a"] * 3, err
    # It had no fair chance: a resumed run tries it again.
    (scratch / "better").touch()
    assert run("--journal", "hurried", "--resume", *what).returncode == 0 and len(lines(scratch / "hurried-tries")) == 4


def a_dash_is_no_file():
    for option in "--json", "--journal", "--joblog", "--results":
        done = run(option, "-", "true", ":::", "a")
        assert done.returncode == 2 and "/dev/stdout" in done.err, done
    assert '"delivered":1' in run("--json", "/dev/stdout", "true", ":::", "a").out.replace(" ", "")


def two_interrupts_kill_groups_and_strays():
    mine = scratch / "kill"
    mine.mkdir()
    # One in the job's group, and one that has left it.
    script = "trap '' TERM INT; sleep 1000 & echo $! >>pids; setsid sh -c 'echo $$ >>pids; exec sleep 1000' & echo $$ >>pids; wait; sleep 1000"
    child = start("-j2", script, ":::", "a", "b", cwd=mine)
    until(lambda: len(lines(mine / "pids")) == 6, child)
    child.send_signal(signal.SIGINT)
    child.stderr.readline()
    child.send_signal(signal.SIGINT)  # no second one, so soon: timeout(1) sends two
    time.sleep(.3)  # what is meant takes this long
    assert child.poll() is None and all(alive(pid) for pid in lines(mine / "pids"))
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130, child.returncode
    left = [pid for pid in lines(mine / "pids") if alive(pid)]
    assert not left, left


def a_reader_that_does_not_read_does_not_keep_signals_out():
    for to in "stdout", "stderr":
        read, write = os.pipe()  # held, and never read
        other = subprocess.DEVNULL
        script = "head -c 3000000 /dev/zero" + (" >&2" if to == "stderr" else "") + "; echo {} >>stalled; : {}"
        child = subprocess.Popen([tool, "run", "-j2", "--journal", f"stalled-{to}", script, ":::", "1", "2", "3"], **{"stdout": other, "stderr": other, to: write})
        os.close(write)
        until(lambda: len(lines(scratch / "stalled")) >= 2)
        child.send_signal(signal.SIGTERM)
        time.sleep(.3)
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=60) == 130
        os.close(read)
        # The jobs were done, whatever became of what they printed.
        done = run("-j2", "--journal", f"stalled-{to}", "--resume", script, ":::", "1", "2", "3")
        assert done.returncode == 0 and sorted(lines(scratch / "stalled")) == ["1", "2", "3"], (to, done.returncode, lines(scratch / "stalled"))
        (scratch / "stalled").unlink()


def a_reader_of_the_job_log_that_does_not_read_does_neither():
    os.mkfifo(scratch / "log-pipe")
    keep = os.open(scratch / "log-pipe", os.O_RDWR)
    child = start("-j2", "--joblog", "log-pipe", "true {}", stdin=subprocess.PIPE)
    long = "x" * 4000
    child.stdin.write("".join(f"{long}{i}\n" for i in range(40)))
    child.stdin.flush()
    import fcntl, termios, array
    def filled():
        waiting = array.array("i", [0])
        fcntl.ioctl(keep, termios.FIONREAD, waiting)
        return waiting[0] > 50_000
    until(filled, child)
    child.send_signal(signal.SIGTERM)
    time.sleep(.3)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=60) == 130
    os.close(keep)


def ignored_and_blocked_signals_of_the_parent_do_not_matter():
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    done = run("exit {}", ":::", "0", "3", preexec_fn=ignore)
    assert done.returncode == 1 and "exited with 3" in done.err and "0: " not in done.err, done
    def block():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP})
    child = start("-j1", "echo {} >>blocked; until [ -e unblock ]; do sleep .01; done", ":::", "x", preexec_fn=block)
    until(lambda: lines(scratch / "blocked"), child)
    child.send_signal(signal.SIGTERM)
    assert "finishing" in child.stderr.readline()
    (scratch / "unblock").touch()
    assert child.wait(timeout=60) == 130


def nothing_survives_the_terminal():
    for number in (signal.SIGHUP, signal.SIGQUIT):
        mine = scratch / f"gone-{number}"
        mine.mkdir()
        script = "trap 'echo told >>told' TERM; sleep 1000 & echo $! >>pids; setsid sh -c 'echo $$ >>pids; exec sleep 1000' & echo $$ >>pids; wait; wait"
        child = start("-j2", "--term-seq", "TERM,100ms,KILL", script, ":::", "a", "b", cwd=mine)
        until(lambda: len(lines(mine / "pids")) == 6, child)
        child.send_signal(number)
        child.send_signal(number)  # a terminal says it to its foreground, and then its shell does
        child.communicate(timeout=60)
        left = [pid for pid in lines(mine / "pids") if alive(pid)]
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
        assert not left and child.returncode == 130, (number, left, child.returncode)
        # Politely, where nobody is in a hurry.
        assert bool(lines(mine / "told")) == (number == signal.SIGHUP), number
    # nohup means it.
    child = start("-j1", "echo begun >>hup; until [ -e hup-on ]; do sleep .01; done; echo {}", ":::", "x", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    until(lambda: lines(scratch / "hup"), child)
    child.send_signal(signal.SIGHUP)
    (scratch / "hup-on").touch()
    assert child.communicate(timeout=60)[0] == "x\n" and child.returncode == 0


def a_process_left_behind_does_not_hold_the_run_up():
    began = time.monotonic()
    done = run("-j1", "sleep 1000 & echo $! >left; echo {}", ":::", "x")
    pid = int((scratch / "left").read_text())
    try:
        assert done.returncode == 0 and done.out == "x\n" and time.monotonic() - began < 500
        assert alive(pid)  # it may be a daemon, and meant
    finally:
        os.kill(pid, signal.SIGKILL)


def orphans_do_not_stay_as_zombies():
    child = start("-j2", "(sh -c 'exit 0' &); echo {}; [ {} != 200 ] || until [ -e enough ]; do sleep .01; done", stdin=subprocess.PIPE)
    child.stdin.write(seq(200))
    child.stdin.close()
    seen = [child.stdout.readline() for _ in range(199)]
    assert len(seen) == 199
    states = collections.Counter()
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == child.pid:
            states[fields[0]] += 1
    (scratch / "enough").touch()
    assert child.wait() == 0
    assert states["Z"] < 20, states


for each in [f for name, f in list(globals().items()) if callable(f) and getattr(f, "__module__", "") == "__main__"
             and f.__code__.co_argcount == 0 and name not in ("test",)]:
    test(each)
os.chdir("/")
if not failed:
    shutil.rmtree(scratch)
print(f"{passed} passed, {failed} failed" + (f", see {scratch}" if failed else ""))
sys.exit(1 if failed or not passed else 0)
