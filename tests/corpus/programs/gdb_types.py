"""Runs in gdb: writes what gdb knows of types, as JSON.

The environment says where: ``TYPES_NAMES``, lines of a keyword and a name with a tab between
them; ``TYPES_ANSWERS``, the file to write.
"""

import json
import os

import gdb


def _place(field):
    try:
        return field.bitpos
    except (AttributeError, gdb.error):
        return None  # static members have none, virtual bases a computed one


def _described(kind, name):
    try:
        found = gdb.lookup_type(f"{kind} {name}" if kind else name).strip_typedefs()
    except gdb.error:
        return None
    answer = {"size": found.sizeof}
    if found.code == gdb.TYPE_CODE_ENUM:
        answer["values"] = [[each.name, each.enumval] for each in found.fields()]
    elif found.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        answer["members"] = [
            [
                "<base>" if each.is_base_class else each.name or "",
                _place(each),
                each.bitsize,
                each.type.sizeof,
            ]
            for each in found.fields()
        ]
    return answer


with open(os.environ["TYPES_NAMES"]) as _names:
    _asked = [line.rstrip("\n").split("\t") for line in _names]
with open(os.environ["TYPES_ANSWERS"], "w") as _answers:
    json.dump([_described(*each) for each in _asked], _answers)
