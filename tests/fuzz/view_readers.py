"""NatVis files: everything that they say is read, and their names are matched with types'."""

from __future__ import annotations

from importlib import resources

from probing import attempt

from polydbg.formats.natvis.names import match_name, parse_name
from polydbg.formats.natvis.reader import read_natvis

_NAMES = (
    "std::vector<int, std::allocator<int> >",
    "alloc::vec::Vec<(i32, u8), alloc::alloc::Global>",
    "&[u8]",
    "A<B<C>,D>::E<4ul>",
)
_SEED = b"""<?xml version="1.0"?><AutoVisualizer><Type Name="A&lt;*,B&lt;*&gt;&gt;" Priority="Low">
<AlternativeType Name="C"/><DisplayString Condition="x">{{{y,[n]s}}}</DisplayString><Expand>
<CustomListItems><Variable Name="a" InitialValue="1"/><Loop><If Condition="a"><Break/></If><Else>
<Item Name="{a}">a,x</Item></Else></Loop></CustomListItems></Expand></Type></AutoVisualizer>"""


def read_views(data: bytes) -> None:
    def read() -> None:
        for view in read_natvis(data).types:
            for name in view.names:
                pattern = parse_name(name)
                for other in _NAMES:
                    tree = parse_name(other)
                    if pattern is not None and tree is not None:
                        match_name(pattern, tree)

    attempt(read)


def view_seeds() -> list[bytes]:
    folder = resources.files("polydbg") / "views"
    own = [each.read_bytes() for each in folder.iterdir() if each.name.endswith(".natvis")]
    return [_SEED, *own]
