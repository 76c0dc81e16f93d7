"""Run inside gdb: steps through ``run`` of ``steps.c`` and writes what each step looked like.

The callers are not asked of gdb, which would read the same tables: they are kept on a shadow stack,
pushed at call instructions and when the signal's handler is entered.
"""

import json
import os

import gdb  # type: ignore[import-not-found]

KEPT = ["rbx", "rbp", "r12", "r13", "r14", "r15"]
NAMES = [*KEPT, "rax", "rcx", "rdx", "rsi", "rdi", "rsp", "r8", "r9", "r10", "r11", "rip"]
MOST = 30000


def registers():
    frame = gdb.newest_frame()
    return {name: int(frame.read_register(name)) & (1 << 64) - 1 for name in NAMES}


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return int.from_bytes(read(address, 8), "little")


def call_length(code):
    """Return the length of the call that *code* begins with, 0 for anything else."""
    if code[0] == 0xE8:
        return 5
    at = 1 if 0x40 <= code[0] < 0x50 else 0
    if code[at] != 0xFF or code[at + 1] & 0x38 != 0x10:
        return 0
    mode, rm = code[at + 1] >> 6, code[at + 1] & 7
    length = at + 2
    if mode != 3 and rm == 4:
        length += 1
        if mode == 0 and code[at + 2] & 7 == 5:
            length += 4
    if mode == 1:
        length += 1
    elif mode == 2 or (mode == 0 and rm == 5):
        length += 4
    return length


def modules():
    """Return the base of every mapped file."""
    bases = {}
    with open(f"/proc/{gdb.selected_inferior().pid}/maps") as file:
        for line in file:
            parts = line.split()
            if len(parts) > 5 and parts[5].startswith("/"):
                bases.setdefault(parts[5], int(parts[0].split("-")[0], 16))
    return bases


def main():
    for command in (
        "set pagination off",
        "set confirm off",
        "set debuginfod enabled off",
        "handle SIGUSR1 stop print pass",
        "break *run",
        "run",
    ):
        gdb.execute(command, to_string=True)
    handler = int(gdb.parse_and_eval("(long)&handler"))
    now = registers()
    top = now["rsp"] + 0x40
    kept = {name: now[name] for name in KEPT}
    shadow = [[word(now["rsp"]), now["rsp"] + 8, kept]]
    seen, steps = set(), []
    for _ in range(MOST):
        now = registers()
        pc, sp = now["rip"], now["rsp"]
        key = (pc, len(shadow))
        if key not in seen:
            seen.add(key)
            low = sp - 128
            steps.append([now, low, read(low, top - low).hex(), [list(each) for each in shadow]])
        length = call_length(read(pc, 8))
        gdb.execute("stepi", to_string=True)
        frame = gdb.newest_frame()
        new_pc, new_sp = int(frame.read_register("rip")), int(frame.read_register("rsp"))
        new_sp &= (1 << 64) - 1
        if new_pc == handler and not length:
            shadow.append([pc, sp, {name: now[name] for name in KEPT}])
            shadow.append([word(new_sp), new_sp + 8, None])
        elif length and new_sp == sp - 8:
            shadow.append([pc + length, sp, {name: now[name] for name in KEPT}])
        elif (new_pc, new_sp) == (shadow[-1][0], shadow[-1][1]):
            shadow.pop()
            if not shadow:
                break
    with open(os.environ["STEPS"], "w") as file:
        json.dump({"modules": modules(), "done": not shadow, "steps": steps}, file)
    gdb.execute("kill")


main()
