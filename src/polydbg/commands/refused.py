"""Commands that do nothing here: each says why, and what to use instead.

Two tables: what needs a live target is refused in WinDbg's words; what WinDbg can do with a dump
and this version cannot is refused by name, so that ``dg`` is not read as ``d`` with an argument.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item
from polydbg.commands.registry import ABSENT_FAMILY, LIVE_FAMILY, command

_NOT_RUNNABLE = "No runnable debuggees error"
_NOT_HERE = "Operation not supported by current debuggee error"
_NOT_IN_SESSION = "Operation not supported in current debug session"

_RUN = "a dump is a snapshot and cannot run; k shows how the thread got here"
_BREAK = "a dump is a snapshot and cannot run into a breakpoint"
_FILTER = "a dump has no further events; .lastevent shows the one it has"
_PROCESS = "polydbg opens dumps: .opendump FILE"
_ALLOCATE = "memory cannot be allocated in a dump; .overlay on lets what is there be edited"
_HARDWARE = "a dump of a process has no ports and no machine registers"

REFUSED: tuple[tuple[str, str, str, str], ...] = (
    ("g", "Go: run the target.", _NOT_RUNNABLE, _RUN),
    ("gc", "Go on from a conditional breakpoint.", _NOT_RUNNABLE, _RUN),
    ("gh", "Go with the exception handled.", _NOT_RUNNABLE, _RUN),
    ("gn", "Go with the exception not handled.", _NOT_RUNNABLE, _RUN),
    ("gN", "Go with the exception not handled.", _NOT_RUNNABLE, _RUN),
    ("gu", "Go up: run until the function returns.", _NOT_RUNNABLE, _RUN),
    ("p", "Step over a call.", _NOT_RUNNABLE, f"{_RUN}; ?? shows a value"),
    ("pa", "Step to an address.", _NOT_RUNNABLE, _RUN),
    ("pc", "Step to the next call.", _NOT_RUNNABLE, _RUN),
    ("pct", "Step to the next call or return.", _NOT_RUNNABLE, _RUN),
    ("ph", "Step to the next branch.", _NOT_RUNNABLE, _RUN),
    ("pt", "Step to the next return.", _NOT_RUNNABLE, _RUN),
    ("t", "Step into a call.", _NOT_RUNNABLE, _RUN),
    ("ta", "Trace to an address.", _NOT_RUNNABLE, _RUN),
    ("tb", "Trace to the next branch.", _NOT_RUNNABLE, _RUN),
    ("tc", "Trace to the next call.", _NOT_RUNNABLE, _RUN),
    ("tct", "Trace to the next call or return.", _NOT_RUNNABLE, _RUN),
    ("th", "Trace to the next branch.", _NOT_RUNNABLE, _RUN),
    ("tt", "Trace to the next return.", _NOT_RUNNABLE, _RUN),
    ("wt", "Trace a function and what it calls.", _NOT_RUNNABLE, _RUN),
    (".restart", "Start the target again.", _NOT_RUNNABLE, _RUN),
    (".breakin", "Stop the target.", _NOT_RUNNABLE, _RUN),
    (".call", "Call a function of the target.", _NOT_RUNNABLE, _RUN),
    ("bl", "List breakpoints.", _NOT_HERE, _BREAK),
    ("bp", "Set a breakpoint.", _NOT_HERE, _BREAK),
    ("bu", "Set a breakpoint on a symbol not loaded yet.", _NOT_HERE, _BREAK),
    ("bm", "Set breakpoints on symbols by pattern.", _NOT_HERE, _BREAK),
    ("ba", "Break on access to memory.", _NOT_HERE, _BREAK),
    ("bc", "Clear breakpoints.", _NOT_HERE, _BREAK),
    ("bd", "Disable breakpoints.", _NOT_HERE, _BREAK),
    ("be", "Enable breakpoints.", _NOT_HERE, _BREAK),
    ("br", "Renumber breakpoints.", _NOT_HERE, _BREAK),
    ("bs", "Change the commands of a breakpoint.", _NOT_HERE, _BREAK),
    ("bsc", "Change the condition of a breakpoint.", _NOT_HERE, _BREAK),
    (".bpcmds", "Show the commands that recreate breakpoints.", _NOT_HERE, _BREAK),
    ("sx", "Show event filters.", _NOT_HERE, _FILTER),
    ("sxe", "Break on an event.", _NOT_HERE, _FILTER),
    ("sxd", "Break on an event that nobody handled.", _NOT_HERE, _FILTER),
    ("sxn", "Print an event.", _NOT_HERE, _FILTER),
    ("sxi", "Ignore an event.", _NOT_HERE, _FILTER),
    ("sxr", "Reset event filters.", _NOT_HERE, _FILTER),
    (".attach", "Attach to a process.", _NOT_IN_SESSION, _PROCESS),
    (".create", "Start a process.", _NOT_IN_SESSION, _PROCESS),
    (".abandon", "Leave the process stopped.", _NOT_IN_SESSION, _PROCESS),
    (".childdbg", "Follow child processes.", _NOT_IN_SESSION, _PROCESS),
    (".createdir", "Set the folder of new processes.", _NOT_IN_SESSION, _PROCESS),
    (".step_filter", "Set which code stepping skips.", _NOT_RUNNABLE, _RUN),
    (".bpsync", "Stop all threads at a breakpoint.", _NOT_HERE, _BREAK),
    (".crash", "Crash the target.", _NOT_RUNNABLE, _RUN),
    (".reboot", "Restart the target's machine.", _NOT_RUNNABLE, _RUN),
    (".closehandle", "Close a handle of the target.", _NOT_IN_SESSION, _PROCESS),
    ("ah", "Control assertions.", _NOT_RUNNABLE, _RUN),
    (".dvalloc", "Allocate memory in the target.", _NOT_IN_SESSION, _ALLOCATE),
    (".dvfree", "Free memory of the target.", _NOT_IN_SESSION, _ALLOCATE),
    ("fp", "Fill physical memory.", _NOT_IN_SESSION, _HARDWARE),
    ("ib", "Read a port.", _NOT_IN_SESSION, _HARDWARE),
    ("iw", "Read a port.", _NOT_IN_SESSION, _HARDWARE),
    ("id", "Read a port.", _NOT_IN_SESSION, _HARDWARE),
    ("ob", "Write to a port.", _NOT_IN_SESSION, _HARDWARE),
    ("ow", "Write to a port.", _NOT_IN_SESSION, _HARDWARE),
    ("od", "Write to a port.", _NOT_IN_SESSION, _HARDWARE),
    ("rdmsr", "Read a machine register.", _NOT_IN_SESSION, _HARDWARE),
    ("wrmsr", "Write a machine register.", _NOT_IN_SESSION, _HARDWARE),
)
"""Name, what it does in a live session, WinDbg's words, what to do instead."""

_RAW = "lm, ~ and | show what the dump says of the process; dps ADDRESS shows raw memory"
_REGION = "!address shows the map of the process and !address ADDRESS one region"
_ASSEMBLE = ".overlay on lets bytes be edited: eb ADDRESS BYTES"
_CACHE = "-y and .sympath name it: srv*FOLDER*SERVER"
_STRINGS = "da, du and dS show text; dx OBJECT shows strings and containers as people think of them"
_NUMBERS = "n sets the base; .formats shows a value in all"
_MANAGED = "managed code is not read; k shows native frames"
_MOMENTS = "-c and -cf run commands at the start, .for and .foreach several"
_LOOKS = "--color and --json choose how output looks"
_SNAPSHOT = "a dump is one moment; k shows how the thread got there"

ABSENT: tuple[tuple[str, str, str], ...] = (
    (
        "!heap !htrace !token !gflag !avrf",
        "Show what a process holds.",
        _RAW,
    ),
    ("!critsec", "Show a critical section.", "!cs ADDRESS shows it"),
    ("!vadump !mapped_file", "Show a region of memory.", _REGION),
    ("!exchain", "Show the exception handlers.", ".fnent ADDRESS shows a function's handler"),
    ("!chkimg", "Compare code with its image file.", "!lmi MODULE says which file was taken"),
    (".dump", "Write a dump.", "copy the dump's file; .writemem FILE RANGE saves memory"),
    (".process .tlist", "Choose a process.", "a dump holds one process; || shows the open dumps"),
    (".trap .bugcheck", "Show a kernel's state.", ".exr -1 and .ecxr show an exception"),
    ("a", "Assemble instructions.", _ASSEMBLE),
    (".dml_flow", "Show code as a graph.", "uf shows a function by its blocks"),
    ("!dflink !dblink", "Show a linked list.", "dl and dlb walk lists, !list runs commands"),
    ("dg", "Show a selector of the processor.", "r shows the segment registers"),
    (".holdmem", "Keep memory to compare it later.", "c compares ranges, .writemem saves one"),
    ("!imgreloc !chksym", "Check images and symbols.", "!lmi MODULE and !sym why MODULE say it"),
    ("!itoldyouso", "Say how symbols were matched.", "!sym why MODULE says it"),
    (".open .srcnoisy", "Show files of sources.", "lsf FILE loads one, ls shows it"),
    ("ss", "Set a suffix of symbol names.", "x MODULE!NAME* finds both spellings"),
    (".copysym !homedir !symsrv", "Set up the cache of symbols.", _CACHE),
    (".allow_image_mapping .pagein", "Read images and pages.", ".exepath names folders of images"),
    ("!stl !ustr !str !hstring !hstring2", "Show a string or container.", _STRINGS),
    (".typeopt", "Set how types are found.", "dt MODULE!TYPE names the module"),
    (".enable_unicode .enable_long_status .force_radix_output", "Set how numbers show.", _NUMBERS),
    ("!cppexr", "Show an exception of C++.", "!analyze -v names its type, .exr -1 its record"),
    (".event_code .jdinfo .tss", "Show what led to the event.", ".lastevent and .exr -1 show it"),
    ("!findxmldata !triage", "Show the data of an analysis.", "!analyze -v shows it"),
    ("!version", "Show the version of an extension.", "version shows polydbg's"),
    (".dumpcab", "Pack a dump with its symbols.", "polydbg sym fetch packs symbols"),
    ("!clrstack !threads !dumpheap !gcroot !pe !clru", "Show managed code.", _MANAGED),
    (".wake .ocommand .idle_cmd .pcmd", "Run commands at other moments.", _MOMENTS),
    (".write_cmd_hist", "Save the history of commands.", ".logopen FILE writes a log"),
    (".scriptdebug", "Debug a script.", "!py -v EXPRESSION shows the traceback of an error"),
    (
        "!help .extmatch .extpath",
        "List extensions.",
        ".help lists all commands, .chain their origin",
    ),
    (".prefer_dml .dml_start .browse .prompt_allow", "Set how output looks.", _LOOKS),
    (
        ".cls .wtitle .beep .suspend_ui .flash_on_break .scroll_prefs .sound_notify",
        "Control the window.",
        "the terminal does that",
    ),
    (".echotimestamps .echocpunum", "Stamp output.", ".echotime prints the time"),
    (".outmask .ofilter", "Filter output by kind.", "--json tells kinds apart"),
    ("sq so", "Set how quiet commands are.", ".noshell, .lines and l+ set what can be set"),
    (".settings .push .pop", "Keep settings and state.", "-cf FILE runs commands at the start"),
    (
        ".hideinjectedcode .fpo .fiximports .noversion .locale .dbgdbg .cordll",
        "Set up the engine.",
        ".inline and .lines set what can be set",
    ),
    (".secure .quit_lock", "Lock the session down.", ".noshell forbids programs and scripts"),
    (".allow_exec_cmds", "Allow commands that run the target.", _SNAPSHOT),
    (
        ".server .servers .endsrv .clients .endpsrv .remote .remote_exit .netuse .send_file",
        "Share the session.",
        "a dump can be copied and opened anywhere",
    ),
    (".fiber .apply_dbp", "Choose a register context.", ".cxr ADDRESS takes one from memory"),
    ("g- p- t- gu- !tt !positions !position !index", "Go back in time.", _SNAPSHOT),
    (
        "!process !thread !dml_proc !findthreads !ready !stacks !running !pcr !prcb !irql !cpuinfo "
        "!cpuid !sysinfo !pte !vtop !ptov !pool !poolfind !poolused !poolval !vm !memusage !vad "
        "!object !drvobj !devobj !devstack !devnode !devext !irp !irpfind !deadlock !qlocks !dpcs "
        "!timer !idt !apc !verifier !errrec !whea !session !job !sd !acl !sid !reg !dreg !lpc "
        "!alpc !exqueue !tz !filecache !ca !fileobj !blackboxbsd .cache .ignore_missing_pages "
        "!drivers .context !db !dc !dd !dp !dq !du !dw !eb !ed",
        "Show a kernel.",
        "dumps of kernels are not opened; lm, ~ and !analyze -v tell of a process",
    ),
)
"""Names with a blank in between, what WinDbg does with these, what to do instead."""


def _refuse(
    ctx: CommandContext, cursor: Cursor, name: str, message: str, hint: str
) -> Iterator[Item]:
    """Raise the error of the table; a longer word that only begins like *name* is unknown."""
    from polydbg.commands.language import suggestion

    ctx.session.current  # noqa: B018 - without a dump that is what to say first
    if cursor.match(r"[A-Za-z_]\w*"):
        word = cursor.text[: cursor.position].split()[-1]
        raise cursor.error("Syntax error", hint=suggestion(word))
    raise CommandError(
        message, caret=cursor.position - 1, hint=hint, identifier="target.unsupported"
    )
    yield  # a generator like every command


def _absent(
    ctx: CommandContext, cursor: Cursor, names: tuple[str, ...], hint: str
) -> Iterator[Item]:
    """Say that this version lacks the command; a longer word is unknown, as in :func:`_refuse`."""
    from polydbg.commands.language import suggestion

    before = cursor.text[: cursor.position]
    spelled = [n for n in names if before.endswith(n)]
    spelled = spelled or [n for n in names if before.lower().endswith(n.lower())]
    name = max(spelled, key=len, default=names[0])
    if name[-1].isalpha() and cursor.match(r"[A-Za-z_]\w*"):
        raise cursor.error("Syntax error", hint=suggestion(before.split()[-1]))
    raise CommandError(
        f"{name} is not in this version: {hint}", identifier="command.not-in-this-version"
    )
    yield  # a generator like every command


def _declare() -> None:
    for name, summary, message, hint in REFUSED:
        command(
            name,
            summary=f"{summary} Not possible with a dump.",
            syntax=name,
            example=f"{name}    {hint}",
            family=LIVE_FAMILY,
        )(functools.partial(_refuse, name=name, message=message, hint=hint))
    for spellings, summary, hint in ABSENT:
        first, *others = names = tuple(spellings.split())
        command(
            first,
            summary=f"{summary} Not in this version.",
            syntax=first,
            example=f"{first}    {hint}",
            family=ABSENT_FAMILY,
            aliases=tuple(others),
        )(functools.partial(_absent, names=names, hint=hint))


_declare()
