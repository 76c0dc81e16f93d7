"""The command line in one table, from which parsing, ``--help``, completion and docs are made."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class UsageError(Exception):
    """The command line is wrong; the message is one line."""


class Option(msgspec.Struct, frozen=True):
    """A switch. *metavar* names its argument (``""`` for none); *repeats* collects a list, *joint*
    is what joins the arguments of a switch that is given again: else the last one counts.

    cdb's switches have one dash and mean the same everywhere; ours have two.
    """

    name: str
    metavar: str
    help: str
    repeats: bool = False
    aliases: tuple[str, ...] = ()
    joint: str = ""

    @property
    def key(self) -> str:
        return self.name.lstrip("-").replace("-", "_")


class Verb(msgspec.Struct, frozen=True):
    """A first word that is a verb; *usage* is what follows it, a second verb perhaps."""

    name: str
    usage: str
    help: str

    @property
    def title(self) -> str:
        """Return the verb with the second one."""
        second = self.usage.split(" ", 1)[0]
        return f"{self.name} {second}" if second.isalpha() else self.name


OPTIONS = (
    Option("-z", "FILE", "open a dump; may be repeated; wildcards are ours: -z 'dir/*.dmp'", True),
    Option("-y", "PATH", "symbol path: folders and stores, separated by ;", joint=";"),
    Option(
        "-i",
        "PATH",
        "image path: folders of executables (x64 unwind data is in them), or files",
        joint=";",
    ),
    Option(
        "--sysroot",
        "PATH",
        "the file system that the process ran in: a folder, or an archive such as docker save's; "
        "may be repeated",
        True,
    ),
    Option("--offline", "", "ask no server: folders, stores and caches of this host only"),
    Option(
        "--symbol-wait",
        "SECONDS",
        "how long a run of -c or piped commands may wait for servers, in all (20)",
    ),
    Option("-srcpath", "PATH", "source path"),
    Option("-arch", "NAME", "processor of minidumps that lack it: amd64, x86, arm64, arm"),
    Option("-c", "COMMANDS", "run these commands first", joint="; "),
    Option("-cf", "FILE", "run the commands in FILE, after -c"),
    Option("-ee", "masm|c++", "what reads expressions (_NT_EXPR_EVAL; masm)"),
    Option("-noshell", "", "forbid .shell, !! and Python scripts for the whole session"),
    Option("-lines", "", "load line numbers (the default here)"),
    Option("-logo", "FILE", "write a log, over what FILE holds"),
    Option("-loga", "FILE", "write a log, behind what FILE holds"),
    Option("-o", "PACK", "sym fetch: the pack to write"),
    Option("--to", "DIR", "sym add: the store to add to, instead of the default cache"),
    Option("--two-tier", "", "sym store add: a new store has folders by the first two letters"),
    Option("--product", "TEXT", "sym store add: for the store's books"),
    Option("--product-version", "TEXT", "sym store add: for the store's books"),
    Option("--comment", "TEXT", "sym store add: for the store's books"),
    Option("--port", "N", "sym serve: the port to listen at (8080; 0 takes a free one)"),
    Option("--bind", "ADDRESS", "sym serve: the address to listen at (127.0.0.1: this machine)"),
    Option("--sources", "PREFIX=DIR", "sym serve: where sources recorded below PREFIX lie", True),
    Option("--quiet", "", "sym serve: no line for each request"),
    Option("--json", "", "print one JSON object a command (docs/json.md)"),
    Option("--stop-on-error", "", "end at the first command that fails"),
    Option("--color", "WHEN", "auto, always or never"),
    Option("--completion", "SHELL", "print the completion script for bash, zsh or fish"),
    Option("--version", "", "print the version", aliases=("-version",)),
    Option("--help", "", "print this help", aliases=("-h", "-?")),
)

VERBS = (
    Verb("open", "[options] FILE...", "open dumps, as without a verb"),
    Verb(
        "demo",
        "[options] [container]",
        "open the practice dump that the package carries; container: the core of a container",
    ),
    Verb(
        "sym",
        "why DUMP [MODULE]",
        "say where a module's files were sought, and what to do; without a name, what all lack",
    ),
    Verb("sym", "path [-y PATH]", "check the symbol path: each folder, and each server once"),
    Verb(
        "sym",
        "list [--json] [-y PATH] DUMP...",
        "list the files that the modules want, with their ids; --json makes the input of fetch",
    ),
    Verb(
        "sym",
        "fetch [-y PATH] [-o PACK.zip] IDS.json|DUMP...",
        "fetch the files that ids or dumps name into a pack, where there is a network; one file "
        "into the cache: debuginfo:ID, executable:ID, section:ID/NAME, source:ID/PATH, NAME/KEY",
    ),
    Verb(
        "sym",
        "add [--to DIR] PACK.zip|FOLDER|FILE...",
        "add a pack, or symbol files, to the default cache, where every session finds them",
    ),
    Verb(
        "sym",
        "store add DIR FILE|FOLDER|PACK... | list DIR | remove DIR NUMBER",
        "keep a symbol store: put files in by their content, list and take back what was put in",
    ),
    Verb(
        "sym",
        "serve [--port N] [--bind ADDRESS] [--sources PREFIX=DIR] [--quiet] DIR",
        "serve a folder of symbols over HTTP to polydbg, WinDbg, gdb and lldb",
    ),
    Verb(
        "check",
        "[--json] [-arch NAME] FILE...",
        "check dump files: streams, system, what is damaged or cut off",
    ),
    Verb("docs", "cli|commands|index|json", "print a page of the reference made from the tables"),
)

EXIT_CODES = (
    (0, "all went well"),
    (
        1,
        "a command of -c, -cf or piped input failed; check found damage; sym fetch, sym add and "
        "sym store add: a file is missing or was refused",
    ),
    (2, "the input could not be read"),
    (64, "the command line is wrong"),
    (130, "interrupted"),
)


class Arguments(msgspec.Struct, eq=False):
    """A parsed command line. *values* maps option keys; *words* are the free arguments."""

    verb: str = "open"
    values: dict[str, str] = msgspec.field(default_factory=dict)
    lists: dict[str, list[str]] = msgspec.field(default_factory=dict)
    words: list[str] = msgspec.field(default_factory=list)

    def get(self, key: str) -> str | None:
        return self.values.get(key)

    def has(self, key: str) -> bool:
        return key in self.values

    @property
    def dumps(self) -> list[str]:
        """Return the files of ``-z`` and the free words, in that order."""
        return self.lists.get("z", []) + self.words


def parse(argv: Sequence[str]) -> Arguments:
    """Return the parsed command line.

    :raises UsageError: an unknown switch, or one without its argument.
    """
    by_name = {name: o for o in OPTIONS for name in (o.name, *o.aliases)}
    result = Arguments()
    rest = list(argv)
    if rest and rest[0] in {v.name for v in VERBS}:
        result.verb = rest.pop(0)
    while rest:
        word = rest.pop(0)
        if word == "--":
            result.words += rest
            break
        if not word.startswith("-") or word == "-":
            result.words.append(word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option = by_name.get(name)
        if option is None:
            raise UsageError(f"unknown option {name}{_did_you_mean(name, by_name)}")
        if option.metavar:
            if not equals:
                if not rest:
                    raise UsageError(f"{name} needs an argument: {option.metavar}")
                value = rest.pop(0)
        elif equals:
            raise UsageError(f"{name} takes no argument")
        if option.repeats:
            result.lists.setdefault(option.key, []).append(value)
        if option.joint and option.key in result.values:
            value = result.values[option.key] + option.joint + value
        result.values[option.key] = value
    return result


def _did_you_mean(name: str, known: dict[str, Option]) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def help_text() -> str:
    """Return what ``--help`` prints."""
    lines = [
        "polydbg: opens crash dumps in WinDbg's language, on any host.",
        "",
        "usage: polydbg [options] [FILE...]",
        *(f"       polydbg {v.name} {v.usage}" for v in VERBS),
        "",
        "options:",
    ]
    for option in OPTIONS:
        names = ", ".join((option.name, *option.aliases))
        shown = f"{names} {option.metavar}".rstrip()
        lines.append(f"  {shown:24} {option.help}")
    lines += ["", "verbs (a file of that name: ./demo or -z demo):"]
    lines += [f"  {v.title:24} {v.help}" for v in VERBS]
    lines += ["", "exit status:"]
    lines += [f"  {code:<24} {meaning}" for code, meaning in EXIT_CODES]
    lines += [
        "",
        "examples:",
        "  polydbg crash.dmp                         first screen, then a prompt",
        '  polydbg crash.dmp -y symbols -c "k;q"     the stack, and out',
        "  echo '~*k' | polydbg --json crash.dmp     every stack as JSON",
        "",
        "Commands come from standard input when it is no terminal. Environment:",
        "_NT_SYMBOL_PATH, _NT_EXECUTABLE_IMAGE_PATH, NO_COLOR, POLYDBG_CACHE, POLYDBG_LOG,",
        "POLYDBG_DWARF_INDEX, DEBUGINFOD_CACHE_PATH.",
    ]
    return "\n".join(lines)


def markdown() -> str:
    """Return ``docs/cli.md``."""
    lines = [
        "# The command line",
        "",
        "Made from the table in `src/polydbg/cli/options.py` by `polydbg docs cli`.",
        "",
        "```",
        "polydbg [options] [FILE...]",
        *(f"polydbg {v.name} {v.usage}" for v in VERBS),
        "```",
        "",
        "A first word that is a verb is the verb; write `./open` or `-z open` for a file.",
        "",
        "| option | argument | meaning |",
        "| --- | --- | --- |",
    ]
    for option in OPTIONS:
        names = ", ".join(f"`{n}`" for n in (option.name, *option.aliases))
        lines.append(f"| {names} | {option.metavar} | {option.help.replace('|', chr(92) + '|')} |")
    lines += ["", "| verb | meaning |", "| --- | --- |"]
    lines += [f"| `{v.title}` | {v.help} |" for v in VERBS]
    lines += ["", "| exit status | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES]
    return "\n".join(lines) + "\n"


def completion_script(shell: str) -> str:
    """Return the completion script of *shell*. :raises UsageError: another shell."""
    names = " ".join(n for o in OPTIONS for n in (o.name, *o.aliases) if "?" not in n)
    verbs = " ".join(dict.fromkeys(v.name for v in VERBS))
    if shell == "bash":
        return (
            "_polydbg() {\n"
            '  local word="${COMP_WORDS[COMP_CWORD]}"\n'
            '  if [[ "$word" == -* ]]; then\n'
            f'    COMPREPLY=($(compgen -W "{names}" -- "$word"))\n'
            "  elif (( COMP_CWORD == 1 )); then\n"
            f'    COMPREPLY=($(compgen -f -W "{verbs}" -- "$word"))\n'
            "  else\n"
            '    COMPREPLY=($(compgen -f -- "$word"))\n'
            "  fi\n"
            "}\n"
            "complete -o filenames -F _polydbg polydbg"
        )
    if shell == "zsh":
        return (
            "#compdef polydbg\n"
            f"_arguments '*: :->args'\n"
            "if [[ $words[CURRENT] == -* ]]; then\n"
            f"  compadd -- {names}\n"
            f"elif (( CURRENT == 2 )); then\n  compadd -- {verbs}; _files\nelse\n  _files\nfi"
        )
    if shell == "fish":
        return "\n".join(
            [
                f"complete -c polydbg -n __fish_use_subcommand -a {v.name} "
                f"-d '{v.help.replace(chr(39), '')}'"
                for v in {v.name: v for v in reversed(VERBS)}.values()
            ]
            + [
                f"complete -c polydbg {_fish_flag(o)} -d '{o.help.replace(chr(39), '')}'"
                for o in OPTIONS
            ]
        )
    raise UsageError(f"no completion for {shell}: bash, zsh or fish")


def _fish_flag(option: Option) -> str:
    bare = option.name.lstrip("-")
    kind = "l" if option.name.startswith("--") else "s" if len(bare) == 1 else "o"
    return f"-{kind} {bare}{' -r' if option.metavar else ''}"
