"""What a search wanted, every place it looked at, and what to do about a miss."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from polydbg.base.text import sanitise_line
from polydbg.symbols.store.hostpath import base_name, is_windows_style


class FileKind(enum.Enum):
    """What kind of file is wanted; decides the words of the trail."""

    PDB = "pdb"
    IMAGE = "image"
    BREAKPAD = "breakpad"
    SOURCE = "source"

    @property
    def words(self) -> str:
        named = {FileKind.IMAGE: "image", FileKind.SOURCE: "source file"}
        return named.get(self, "symbol file")

    def file_name(self, name: str) -> str:
        """Return what the file is called whose folder in a store is *name*: Breakpad's files are
        text about another debug file, ``app.sym`` in ``app.pdb``, ``libc.so.6.sym``."""
        if self is not FileKind.BREAKPAD:
            return name
        return (name[:-4] if name.lower().endswith(".pdb") else name) + ".sym"


class Outcome(enum.Enum):
    """What happened at one place. The value is the phrase of ``!sym noisy``."""

    FOUND = "OK"
    MISSING = "file not found"
    WRONG_ID = "mismatched id"
    UNKNOWN_ID = "id cannot be compared"  # the wanted one is not known, or the file has none
    UNREADABLE = "cannot be read"
    DAMAGED = "damaged"
    OTHER_FORMAT = "another kind of file"
    UNSUPPORTED = "not supported"
    NOT_ASKED = "not asked"
    UNSAFE_NAME = "unsafe name refused"
    COPIED = "copied"
    NOT_COPIED = "not copied"
    PENDING = "being fetched"
    NOT_ON_SERVER = "not on the server"
    FAILED = "failed"  # a server, or the way to it; the detail says how
    NO_RECORD = "no debug record"  # added by callers: the image names no debug file
    STRIPPED = "symbols stripped"  # added by callers: the image or the PDB says so


# The outcomes that call for something to do, the most promising first.
_RANK = {
    outcome: rank
    for rank, outcome in enumerate(
        (
            Outcome.UNSAFE_NAME,
            Outcome.NO_RECORD,
            Outcome.WRONG_ID,
            Outcome.UNKNOWN_ID,
            Outcome.DAMAGED,
            Outcome.OTHER_FORMAT,
            Outcome.UNREADABLE,
            Outcome.UNSUPPORTED,
            Outcome.STRIPPED,
            Outcome.FAILED,
            Outcome.NOT_ASKED,
            Outcome.NOT_ON_SERVER,
        )
    )
}


_LONGEST_CODE_ID = 16  # of a PE image: a timestamp of eight digits, then the size
_GIVE_IMAGE = "Give the image: .exepath+ DIR, then .reload; or -i DIR on the command line."


class Wanted(msgspec.Struct, frozen=True):
    """One file of one build.

    *name* may carry directories of either kind; only its last component is used; it is the name of
    the debug file, for a Breakpad file of the one that it is about. *key* is the
    store key (:attr:`DebugId.key`, :attr:`CodeId.key`), ``None`` when the dump does not know it;
    *id_text* is the id for people. *extra_paths* are tried last: a :class:`~pathlib.Path` is
    trusted (a file, or a directory such as that of the image), a ``str`` was recorded by a linker
    or a dump and is tried only if it is absolute on this host, not on a network, and ends in
    *name*. *image_name* is the image a PDB belongs to; its extension is the ``<ext>`` of the search
    path. *also* are names of other files of the build that would serve. *any_name*: a file that is
    given itself is meant whatever it is called, as it is for the main program. *flat*: the system
    has no folders by extension (``symbols/dll``). *build_id* is what debuginfod servers are asked
    for, in hex digits.
    """

    kind: FileKind
    name: str
    key: str | None = None
    id_text: str = ""
    extra_paths: Sequence[str | Path] = ()
    image_name: str = ""
    also: Sequence[str] = ()
    any_name: bool = False
    flat: bool = False
    build_id: str = ""

    @property
    def id_words(self) -> str:
        """Return the id for people, or the key."""
        return self.id_text or self.key or "unknown"


class TrailEntry(msgspec.Struct, frozen=True):
    """One place: a path or an element of the search path, and what was found there. *step* is what
    to do about it, as a sentence, where the outcome alone does not say."""

    place: str
    outcome: Outcome
    detail: str = ""
    found_id: str = ""
    step: str = ""

    def __str__(self) -> str:
        text = f"{self.place} - {self.outcome.value}"
        if self.found_id:
            text += f" (has {self.found_id})"
        return f"{text}: {self.brief}" if self.detail else text

    @property
    def brief(self) -> str:
        """Return the detail without the place, which servers' begin with."""
        rest = self.detail.removeprefix(self.place)
        return self.detail if rest == self.detail else rest.lstrip(": ")


class Trail:
    """The places of one search, in order. One trail may collect several searches."""

    MAX_ENTRIES = 10_000
    """More are counted, not kept: a path of thousands of elements still gives a usable answer."""
    MAX_ADVICE = 10

    def __init__(self) -> None:
        self.entries: list[TrailEntry] = []
        self.dropped = 0
        self.steps: list[str] = []  # what else would help, in whole sentences: added by callers
        self.wanted: Wanted | None = None
        self._begin = 0
        self.elements: tuple[str, ...] = ()

    def begin(self, wanted: Wanted, elements: Sequence[str]) -> None:
        """Note what the following entries are about, for :meth:`advice`."""
        self.wanted = wanted
        self._begin = len(self.entries)
        self.elements = tuple(elements)

    def add(
        self,
        place: str | Path,
        outcome: Outcome,
        detail: str = "",
        found_id: str = "",
        step: str = "",
    ) -> None:
        """Append an entry."""
        if len(self.entries) >= self.MAX_ENTRIES:
            self.dropped += 1
            return
        self.entries.append(TrailEntry(str(place), outcome, detail, found_id, step))

    def has(self, outcome: Outcome) -> bool:
        """Return whether any place of the last search had this outcome."""
        return any(entry.outcome is outcome for entry in self.entries[self._begin :])

    def lines(self, prefix: str = "DBGHELP: ") -> list[str]:
        """Return one line per entry, as ``!sym noisy`` prints them."""
        lines = [sanitise_line(f"{prefix}{entry}") for entry in self.entries]
        if self.dropped:
            lines.append(f"{prefix}{self.dropped} more places")
        return lines

    def advice(self) -> list[str]:
        """Return what to do about the last search, in whole sentences, the most promising first;
        after a hit only what the file lacks. Of searches before it counts what has a step of its
        own."""
        wanted = self.wanted
        if wanted is None:
            return []
        last = self.entries[self._begin :]
        if self.has(Outcome.FOUND):
            lacks = [e for e in last if e.outcome is Outcome.STRIPPED and e.step]
            return [sanitise_line(_advice_of_entry(entry, wanted)) for entry in lacks]
        entries = [entry for entry in self.entries[: self._begin] if _is_advised(entry)] + last
        for entry in entries:
            if entry.outcome is Outcome.PENDING:
                return [sanitise_line(f"It is being fetched: {entry.place}. {entry.step}")]
        advice: list[str] = []
        recorded = {str(extra) for extra in wanted.extra_paths}
        entries = [entry for entry in entries if entry.outcome in _RANK or entry.step]
        has_failed = any(entry.outcome is Outcome.FAILED for entry in entries)
        for entry in sorted(entries, key=lambda entry: _RANK.get(entry.outcome, len(_RANK))):
            if entry.outcome is Outcome.NOT_ASKED and entry.place in recorded:
                continue  # where the linker wrote it on its own machine: nothing to do about that
            if entry.outcome is Outcome.NOT_ON_SERVER and has_failed:
                continue  # the one that failed may have it
            line = _advice_of_entry(entry, wanted)
            if line not in advice:
                advice.append(line)
            if len(advice) == self.MAX_ADVICE:
                break
        # A file of the right name that cannot be compared says it already.
        is_said = self.has(Outcome.NO_RECORD) or self.has(Outcome.UNKNOWN_ID)
        if wanted.key is None and not is_said:
            advice.append(
                f"The id of {base_name(wanted.name)} is not known (neither the dump's record nor "
                f"an image file gives it), so stores cannot be searched. {_GIVE_IMAGE}"
            )
        advice += self.steps
        if not self.has(Outcome.UNSAFE_NAME):
            advice.append(self._where_to_put(wanted))
        return [sanitise_line(line) for line in advice]

    def _where_to_put(self, wanted: Wanted) -> str:
        command = _path_command(wanted)
        folder = base_name(wanted.name)
        name = wanted.kind.file_name(folder)
        made = ""
        if wanted.kind is FileKind.BREAKPAD:
            made = f" Breakpad's dump_syms makes {name} from {folder} as it was built."
        names = " or ".join((*wanted.also, name))
        if not self.elements:
            return f"No search path is set: {command} DIR, where DIR holds {names}.{made}"
        in_store = f", or STORE/{folder}/{wanted.key}/{name}" if wanted.key else ""
        of_build = f" ({wanted.id_words})" if wanted.key or wanted.id_text else ""
        return (
            f"Put {names}{of_build} into a directory of the search path{in_store}, "
            f"or add its directory: {command}+ DIR.{made}"
        )


def _is_advised(entry: TrailEntry) -> bool:
    """Tell whether an entry says what to do whatever is wanted by now."""
    return bool(entry.step) or entry.outcome is Outcome.NOT_ON_SERVER


def _advice_of_entry(entry: TrailEntry, wanted: Wanted) -> str:
    if entry.outcome is Outcome.NOT_ON_SERVER:
        return (
            f"No server that was asked has the {wanted.kind.words} of this build "
            f"({wanted.id_words}). That is remembered for a day; .reload /f asks again."
        )
    if entry.step:
        # What failed at a server names the host itself.
        what = entry.detail if entry.outcome is Outcome.FAILED else str(entry)
        what = f"T{what[1:]}" if what.startswith("the ") else what
        return f"{what.removesuffix('.')}. {entry.step}"
    if entry.outcome is Outcome.WRONG_ID:
        return _advice_of_id(entry, wanted)
    if entry.outcome is Outcome.UNKNOWN_ID:
        return _advice_of_unknown_id(entry, wanted)
    if entry.outcome is Outcome.OTHER_FORMAT:
        return f"{entry.place}: {entry.detail}."
    if entry.outcome is Outcome.DAMAGED:
        return f"{entry.place} is damaged ({entry.detail}): replace it."
    if entry.outcome is Outcome.UNREADABLE:
        denied = "denied" in entry.detail.lower()
        step = "check its permissions" if denied else "replace it, or take it out of the path"
        return f"{entry.place} cannot be read ({entry.detail}): {step}."
    if entry.outcome is Outcome.UNSUPPORTED:
        return f"{entry.place}: {entry.detail}. {_how_to_expand(entry.place)}"
    if entry.outcome is Outcome.NOT_ASKED:
        return _advice_of_unasked(entry, wanted)
    if entry.outcome is Outcome.NO_RECORD:
        return (
            "The image has no CodeView record, so it names no symbol file: "
            "relink it with /DEBUG (MSVC, lld-link) or -g and --pdb (MinGW)."
        )
    if entry.outcome is Outcome.STRIPPED:
        return f"{entry.place}: symbols were stripped{': ' if entry.detail else ''}{entry.detail}."
    if entry.outcome is Outcome.UNSAFE_NAME:
        return f"The name {entry.place!r} is unsafe ({entry.detail}) and was not looked up."
    return f"{entry}."


def _how_to_expand(packed: str) -> str:
    folder = re.split(r"[\\/](?=[^\\/]*$)", packed)[0]
    if is_windows_style(packed):
        return f'Expand it by hand, then .reload: expand -r "{packed}" "{folder}".'
    return f'Expand it by hand, then .reload: cabextract -d "{folder}" "{packed}".'


def _advice_of_unknown_id(entry: TrailEntry, wanted: Wanted) -> str:
    accept = f"{_accepting(wanted)} accepts the file as it is."
    if wanted.key is not None:
        return (
            f"{entry.place} has the right name but does not say of which build it is (wanted is "
            f"{wanted.id_words}). {accept}"
        )
    has = f" (it has {entry.found_id})" if entry.found_id else ""
    return (
        f"{entry.place} has the right name{has}, but the id of this build is not known: "
        f"no record in the dump and no image file give it. {_GIVE_IMAGE} {accept}"
    )


def _advice_of_unasked(entry: TrailEntry, wanted: Wanted) -> str:
    if is_windows_style(entry.place):
        command = _path_command(wanted)
        return (
            f"{entry.place} cannot be reached from this host: give its directory as seen here, "
            f"{command}+ DIR."
        )
    return f"{entry.place}: {entry.detail}."


def _path_command(wanted: Wanted) -> str:
    return ".exepath" if wanted.kind is FileKind.IMAGE else ".sympath"


def _accepting(wanted: Wanted) -> str:
    """Return the command that accepts files of another build for the module."""
    name = base_name(wanted.image_name or wanted.name)
    return f'.reload /i "{name}"' if re.search(r"[\s;=,]", name) else f".reload /i {name}"


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isalnum()).upper()


def _advice_of_id(entry: TrailEntry, wanted: Wanted) -> str:
    """Tell a wrong age (the file is of this build, rewritten) from another build."""
    if wanted.key is None:
        return (
            f"{entry.place} is another file: {entry.detail}. "
            f"{_accepting(wanted)} accepts it all the same (addresses will then be wrong)."
        )
    found, key = _digits(entry.found_id), _digits(wanted.key)
    if wanted.kind is FileKind.IMAGE and len(key) <= _LONGEST_CODE_ID:
        return _advice_of_code_id(entry, wanted, found, key)
    if len(key) > 32 and len(found) > 32 and found[:32] == key[:32]:
        return (
            f"{entry.place} has the right GUID but age {found[32:]} instead of "
            f"{key[32:]} (hex): it was rewritten after linking. Find the copy that was "
            f"archived with the image, or accept it with {_accepting(wanted)}."
        )
    has = entry.found_id or "another id"
    return (
        f"{entry.place} is of another build: its id is {has}, "
        f"wanted is {wanted.id_words}. Find the {wanted.kind.words} of this build, or accept "
        f"it with {_accepting(wanted)} (addresses will then be wrong)."
    )


def _advice_of_code_id(entry: TrailEntry, wanted: Wanted, found: str, key: str) -> str:
    """Tell in which way a PE image differs; one of another build is never accepted."""
    take = "Take it from the machine that the dump is of, or from where the build was archived."
    if len(found) > _LONGEST_CODE_ID:
        return (
            f"{entry.place} has the right timestamp and size, but the debug id {entry.found_id}: "
            f"it is of another build. {take}"
        )
    if found[:8] == key[:8]:
        return (
            f"{entry.place} has the right timestamp but size 0x{found[8:].lower()} instead "
            f"of 0x{key[8:].lower()}: it is another variant of the image (packed or patched after "
            f"linking). {take}"
        )
    return (
        f"{entry.place} is of another build: it has timestamp {found[:8]}, size {found[8:]}, "
        f"wanted is {wanted.id_words}. {take}"
    )
