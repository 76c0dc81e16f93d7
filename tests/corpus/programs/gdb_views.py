"""Runs in gdb: writes the locals of ``main`` as gdb's printers of libstdc++ have them, and a core.

The answer is JSON in ``VIEWS_OUT.json``: numbers, strings, lists of children (pairs where they are
a map's), ``None`` for what has no printer and is no number.
"""

import itertools
import json
import os

import gdb

LIMIT = 30
OUT = os.environ["VIEWS_OUT"]
_NUMBERS = (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_PTR)


def plain(value):
    if not isinstance(value, gdb.Value):
        return value
    kind = value.type.strip_typedefs()
    if kind.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        return plain(value.referenced_value())
    printer = gdb.default_visualizer(value)
    if printer is not None:
        return printed(printer)
    if kind.code == gdb.TYPE_CODE_BOOL:
        return bool(value)
    if kind.code == gdb.TYPE_CODE_FLT:
        return float(value)
    if kind.code in _NUMBERS:
        return int(value)
    if kind.code == gdb.TYPE_CODE_ARRAY:
        low, high = kind.range()
        return [plain(value[index]) for index in range(low, min(high, low + LIMIT - 1) + 1)]
    if kind.code == gdb.TYPE_CODE_STRUCT:
        return [plain(value[each]) for each in kind.fields() if not each.is_base_class]
    return None


def printed(printer):
    hint = printer.display_hint() if hasattr(printer, "display_hint") else None
    if hint == "string":
        text = printer.to_string()
        if hasattr(text, "value"):
            return text.value().string(length=text.length) if text.length else ""
        return text if isinstance(text, str) else text.string()
    if not hasattr(printer, "children"):
        return plain(printer.to_string())
    found = [plain(each) for _, each in itertools.islice(printer.children(), 2 * LIMIT)]
    if hint == "map":
        found = [list(each) for each in zip(found[::2], found[1::2])]
    return found[:LIMIT]


def main():
    gdb.execute("set pagination off")
    gdb.execute("set confirm off")
    gdb.execute("run")
    frame = gdb.newest_frame()
    while frame.name() != "main":
        frame = frame.older()
    frame.select()
    answer = {}
    for symbol in frame.block():
        if symbol.is_variable:
            try:
                answer[symbol.name] = plain(symbol.value(frame))
            except gdb.error as error:
                answer[symbol.name] = {"error": str(error)}
    with open(OUT + ".json", "w") as file:
        json.dump(answer, file)
    gdb.execute(f"generate-core-file {OUT}.core")


main()
