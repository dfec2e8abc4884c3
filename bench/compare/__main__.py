#!/usr/bin/python3
"""How fast is the engine, beside its rivals in the same run?

    script/bench queue|pipeline|async|process [--rounds N] [--quick] [--only W1,W3] [--systems penstock,go]

Each system answers each question in a process of its own, and the systems take turns, so that what disturbs the machine disturbs all of them.
Printed are medians of the rounds; each run checks the number of its items and their sum, and a run that is wrong is an error.
Last comes every target with what was measured beside it. build/bench/WHAT.json has every single run, build/bench/WHAT.svg the picture.
"""
import argparse
import json
import pathlib
import sys

import about
import async_questions
import pipeline_questions
import plot
import process_questions
import queue_questions
import tables
from question import NAMES, Measurements, answer


def main():
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["queue", "pipeline", "async", "process"])
    parser.add_argument("--rounds", type=int, help="turns of every system; 5 unless told")
    parser.add_argument("--quick", action="store_true", help="one round of a tenth of the items: whether everything works, not how fast it is")
    parser.add_argument("--only", help="some of the questions, by the keys that --list shows")
    parser.add_argument("--systems", help=f"some of the systems: {', '.join(NAMES)}")
    parser.add_argument("--list", action="store_true", help="the questions")
    parser.add_argument("--programs", type=pathlib.Path, required=True, help=argparse.SUPPRESS)  # where they were built; script/bench tells
    parser.add_argument("--out", type=pathlib.Path, required=True, help=argparse.SUPPRESS)  # a folder for the figures; script/bench tells
    options = parser.parse_args()

    module = {"queue": queue_questions, "pipeline": pipeline_questions, "async": async_questions, "process": process_questions}[options.what]
    questions = module.questions(options.quick)
    if options.list:
        for q in questions:
            print(f"{q.key:14} {q.title}{'' if q.usual else ' (only when asked for)'}")
        return 0
    known = {q.key.lower() for q in questions}
    only = set(options.only.lower().split(",")) if options.only else {q.key.lower() for q in questions if q.usual}
    if only - known:
        parser.error(f"no such question: {', '.join(only - known)}; see --list")
    systems = options.systems.split(",") if options.systems else None
    if unknown := set(systems or []) - set(NAMES):
        parser.error(f"no such system: {', '.join(unknown)}")
    rounds = options.rounds or (1 if options.quick else 5)

    setting = about.setting()
    print("\n".join(f"{name}: {value}" for name, value in setting.items()), flush=True)
    measured, others = Measurements(), about.Others()
    for q in questions:
        if q.key.lower() in only:
            answer(q, options.programs, rounds, systems, measured)
            print("\n" + tables.table(q, measured), flush=True)
    meanwhile = {"used by others meanwhile": others.share(), "meanwhile the machine had": about.pace(measured.machine)}
    print("\n" + "\n".join(f"{name}: {value}" for name, value in meanwhile.items()))
    setting |= meanwhile

    found = [t for t in module.targets(measured) if t.measured is not None or not options.only]
    print("\n" + tables.targets("targets" + (" (--quick: the figures mean nothing)" if options.quick else ""), found), flush=True)
    for failure in measured.failures:
        print(f"ERROR {failure}", file=sys.stderr)

    options.out.mkdir(parents=True, exist_ok=True)
    written = options.out / f"{options.what}.json"
    written.write_text(json.dumps({"setting": setting, "rounds": rounds, "quick": options.quick, "runs": measured.runs, "machine": measured.machine, "failures": measured.failures,
                                   "targets": [vars(t) for t in found]}, indent=1))
    plot.draw([q for q in questions if q.key in measured.runs], measured, setting, options.out / f"{options.what}.svg")
    print(f"\n{written} has every run, {options.what}.svg beside it the picture")
    return 1 if measured.failures else 0


sys.exit(main())
