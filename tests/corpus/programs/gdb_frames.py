"""Runs in gdb: stops the program in each way, writes a core and the frames that gdb sees.

The environment says what: ``STACKS_KINDS``, words with blanks between, each with ``+`` for a signal
to pass on; ``STACKS_OUT``, the name of the cores and of the JSON file without what comes behind.
"""

import json
import os

import gdb

MAX_FRAMES = 100


def described(frame):
    place = frame.find_sal()
    return {
        "pc": frame.pc(),
        "name": frame.name() or "",
        "file": place.symtab.filename if place.symtab else "",
        "line": place.line if place.symtab else 0,
        "is_inline": frame.type() == gdb.INLINE_FRAME,
        "is_tail_call": frame.type() == gdb.TAILCALL_FRAME,
        "is_signal": frame.type() == gdb.SIGTRAMP_FRAME,
    }


def stack():
    frames, frame = [], gdb.newest_frame()
    while frame is not None and len(frames) < MAX_FRAMES:
        frames.append(described(frame))
        frame = frame.older()
    return frames


def stacks():
    found = {}
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        found[thread.ptid[1]] = stack()
    return found


commands = ["set debuginfod enabled off", "set startup-with-shell off", "set confirm off"]
for command in (*commands, "set backtrace past-main on", "set backtrace past-entry on"):
    gdb.execute(command)
out, answer = os.environ["STACKS_OUT"], {}
for word in os.environ["STACKS_KINDS"].split():
    kind = word.rstrip("+")
    gdb.execute(f"set args {kind}")
    gdb.execute("run")
    for _ in range(len(word) - len(kind)):
        gdb.execute("continue")
    gdb.execute(f"generate-core-file {out}-{kind}.core")
    answer[kind] = stacks()
    gdb.execute("kill")
with open(f"{out}.json", "w") as file:
    json.dump(answer, file)
