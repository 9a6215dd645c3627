"""Rules of the project that no linter checks."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs_pages import DOCUMENTS, ROOT

MAX_LINES = 400
MAX_FUNCTION_LINES = 50
LIBRARY = ("engine", "session", "protocol", "storage", "agents", "models")
"""The packages that other programs import."""
CHANGES = frozenset(
    {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove",
     "setdefault", "sort", "update"}
)  # fmt: skip
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def test_every_file_is_short() -> None:
    counts = {path: len(path.read_text().splitlines()) for path in files("koel_tui", "tests")}
    assert [(str(path), count) for path, count in counts.items() if count > MAX_LINES] == []


def test_every_function_is_short() -> None:
    """The length counts from `def`, because the options of a command are decorators above it."""
    assert [
        f"{place(path, node)} {node.name}"
        for path in files("koel_tui")
        for node in ast.walk(parsed(path))
        if isinstance(node, Function)
        and (node.end_lineno or node.lineno) - node.lineno >= MAX_FUNCTION_LINES
    ] == []


def changed_names(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names whose value a module changes in place, or reassigns in a function."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Global):
            yield from ((name, node) for name in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func.value] if node.func.attr in CHANGES else []
        elif isinstance(node, ast.Assign | ast.Delete):
            targets = [each.value for each in node.targets if isinstance(each, ast.Subscript)]
        elif isinstance(node, ast.AugAssign):
            whole = node.target
            targets = [whole.value if isinstance(whole, ast.Subscript) else whole]
        yield from ((each.id, node) for each in targets if isinstance(each, ast.Name))


def own_names(tree: ast.Module) -> set[str]:
    """Return the names that a module assigns at module level."""
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def state_of(tree: ast.Module) -> list[ast.AST]:
    """Return the places at which a module changes its module-level values."""
    own = own_names(tree)
    return [node for name, node in changed_names(tree) if name in own]


def test_no_module_has_a_state() -> None:
    changed = [place(path, node) for path in files("koel_tui") for node in state_of(parsed(path))]
    assert changed == []


@pytest.mark.parametrize(
    "code",
    ["A = []\ndef f(): A.append(1)", "A = {}\nA['b'] = 1", "A: dict = {}\ndel A['b']",
     "A = 1\ndef f():\n    global A\n    A = 2", "A = set()\nA |= {1}"],
)  # fmt: skip
def test_a_state_is_found(code: str) -> None:
    assert len(state_of(ast.parse(code))) == 1


def values_of(init: Path) -> Iterator[tuple[Path, ast.stmt, ast.stmt | None]]:
    """Yield the constants and types that a package exports, each with the next statement."""
    for node in parsed(init).body:
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("koel_tui"):
            continue
        module = ROOT / str(node.module).replace(".", "/")
        if module.is_dir():
            yield from values_of(module / "__init__.py")
            continue
        path, names = module.with_suffix(".py"), {each.name for each in node.names}
        body = parsed(path).body
        for statement, following in zip(body, [*body[1:], None], strict=True):
            if own_names(ast.Module([statement], [])) & names:
                yield path, statement, following


@pytest.mark.parametrize("package", LIBRARY)
def test_every_public_value_has_a_description(package: str) -> None:
    """Ruff checks the docstrings of classes and functions."""
    assert [
        place(path, statement)
        for path, statement, following in values_of(ROOT / "koel_tui" / package / "__init__.py")
        if not (isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant))
    ] == []


# Vocabulary

WORDS = (
    # Pronouns without a referent
    (r"(?:no|any|some|every)body", "the process, user or caller by its name; or the passive"),
    (r"whoever|whomever|whom|who of", "the caller, user or process by its name"),
    (r"whatever|whichever", "any, for every, regardless of"),
    (r"(?:of|than) (?:ours|theirs|his|hers)|his|he|him", "our, their, the caller's; the noun"),
    (r"[:;,] who(?! (?:has|have|is|are|may|can|uses?)\b)", "the noun: the caller, the user"),
    # Rare words
    (r"anew", "again"),
    (r"besides?", "next to, compared with, in addition to"),
    (r"upon|unto|amongst|whilst|towards", "on, to, among, while, toward"),
    (r"(?:where|there|here)(?:by|of|upon|in|unto|to|with|at|after|tofore)", "a new sentence"),
    (r"lest|ere|albeit|hitherto|henceforth|notwithstanding", "so that … not, before, although"),
    (r"ought|shall|nought|nay|hardly|scarcely|merely", "must, no, seldom, only"),
    (r"to and fro|there and back", "back and forth, round trip"),
    (r"for ever", "forever"),
    (r"now and then", "sometimes"),
    (r"worn|wears?", "applied, uses"),
    (r"thrown? away", "discarded, moved to the trash"),
    # Everyday words for technical terms
    (r"in clear", "unencrypted"),
    (r"(?:puts?|putting|lays?|laid|sets?) (?:\w+ ){0,3}aside", "write a recovery file"),
    (r"(?:brings?|brought) (?:\w+ )?back", "restore"),
    (r"(?:given?|gives|giving|gave) (?:\w+ )?back", "return, release, restore"),
    (r"(?:put|puts) back", "restore"),
    (r"puts? (?:\w+ )?away", "close, save, remove"),
    (r"call(?:s|ed)? off", "cancel"),
    (r"lets? go|gives? up", "release, abandon, abort"),
    (r"pass(?:es|ed)? over", "skip, ignore"),
    (r"h(?:o|e)ld(?:s|ing)? up", "block, delay"),
    (r"go on|goes on|gone on|went on", "continue"),
    (r"(?:am|are|be|been|is|was|were|unless|nothing) told", "is informed, is asked, reported"),
    (r"tell(?:s|ing)? (?:of|nothing|with)|told (?:of|with|by|nothing)", "report, show"),
    (r"hears?|heard", "receive, is notified of"),
    (r"(?:is|was|were|are|nothing|be) said", "is written, is sent, is reported"),
    (r"said (?:again|to be)", "repeated, reported as"),
    (r"(?:takes?|took|taken) for", "interpret as"),
    (r"com(?:es?|ing) of|came of", "the result of"),
    (r"stands?(?!-)", "is, is written; represents"),
    (r"so many(?! \w+ (?:that|so))|so long(?! as)", "`count`, a number of; for `seconds`"),
    (r"text of others|others' text", "untrusted text"),
    (r"in the hands of", "controlled by"),
    (r"all the same", "anyway, nevertheless"),
    (r"the like", "and similar values"),
    (r"as chance has it", "at random"),
    (r"trouble|deed|nonsense|house", "problem, action, invalid data; the project"),
    # Metaphors of old names
    (r"belt|lane|shelf|visitor|desk|glance", "sanitizer, session, folder, opener, workspace, list"),
    # Constructions
    (r"(?<!there )(?:is|are|was|were) no(?= (?!longer\b|more\b))", "is not a, is not valid"),
    (r"(?-i:None is)(?= (?:an?|as|no|one|that|the|`))", "None means"),
    (r"(?-i:which is none)", "which is not one"),
    (r"of (?:its|their|his|her) own", "own, separate"),
    (r"ha(?:ve|s|d) to", "must, need to"),
    (r"any more|anymore", "no longer"),
)
"""Patterns, whole words only, and what to write instead. A space may be a line break."""

FIRST_WORDS = (
    (r"What|Which", "a noun phrase that names the thing"),
    (r"Who|Whom|Whose", "a noun phrase that names the person or process"),
    (r"Where", "The place, the directory, the position"),
    (r"Why", "The reason"),
    (r"How", "The number, the time, the speed, the way"),
    (r"When", "The time"),
    (r"Whether|That", "True if …; in a function: Return whether …"),
    (r"Whatever|Whoever|However|Nobody|Somebody|Everybody", "a noun phrase that names the thing"),
)
"""The words that no docstring begins with: its first line says what the thing is or does."""

NAMES = {
    "aside": "detail, one_shot, recovery",
    "asides": "titles_and_summaries, conflict_files",
    "asleep": "unloaded",
    "awake": "loaded",
    "belt": "sanitizer",
    "belted": "sanitized",
    "deed": "action",
    "desk": "workspace",
    "dialect": "thinking_tags",
    "epitaph": "exit_reason",
    "footnote": "notice",
    "footnotes": "notices",
    "gathered": "coalesced",
    "gathering": "coalescing",
    "glance": "listing",
    "heard": "received",
    "hears": "receives",
    "house": "project",
    "landed": "finished",
    "lane": "single_session, executor",
    "lot": "parked_contexts",
    "means": "dependencies",
    "misfit": "reason",
    "patience": "timeout",
    "sealed": "encrypted",
    "sealing": "encryption",
    "shelf": "thread_folder",
    "spoken": "display_name",
    "tame": "safe",
    "told": "reported",
    "trouble": "problem",
    "unlaid": "empty_list",
    "unsaid": "empty_branch",
    "visitor": "link_opener",
    "wear": "install",
    "whoever": "caller",
    "wordless": "without_text",
}
"""Words that names in `koel_tui` do not contain, and what to write instead."""

CODE = re.compile(r"`[^`\n]+`")
BREAK = re.compile(r"[ \t]*\n[ \t]*")
NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
IDENTIFIER = re.compile(r"[#.]?[\w.:/-]*")
"""A string without a space is a key, an id or a name, not a message."""


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    flexible = pattern.replace(" ", r"[ \n]")
    return re.compile(rf"\b(?:{flexible})(?!\w)", re.IGNORECASE)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each comment; comments on successive lines are joined."""
    text, first, last = "", 0, -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if line == last + 1:
            text += "\n" + token.string.lstrip("# ")
        else:
            yield first, text
            text, first = token.string.lstrip("# "), line
        last = line
    yield first, text


def docstrings(tree: ast.Module) -> list[ast.Constant]:
    """Return the strings that are statements: docstrings, and strings below a value."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the other strings that may be messages."""
    docs = {id(node) for node in docstrings(tree)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) not in docs and not IDENTIFIER.fullmatch(node.value):
            yield node.lineno, node.value


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a file to check, each with the number of its first line.

    Strings of tests are skipped, because they may be hostile input.
    """
    if path.suffix == ".md":
        yield 1, path.read_text()
        return
    yield from comments(path.read_text())
    yield from ((node.lineno, str(node.value)) for node in docstrings(parsed(path)))
    if path.is_relative_to(ROOT / "koel_tui"):
        yield from strings(parsed(path))


def problems_in_text(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, words and replacement of each hit; the first line is 0."""
    prose = BREAK.sub("\n", CODE.sub("`", text))
    for pattern, replacement in WORDS:
        for found in compiled(pattern).finditer(prose):
            yield prose.count("\n", 0, found.start()), found[0], replacement


def problems_of(path: Path) -> Iterator[str]:
    name = path.relative_to(ROOT)
    for first, text in texts(path):
        for line, words, replacement in problems_in_text(text):
            yield f"{name}:{first + line}: {words!r} -> {replacement}"
    for node in docstrings(parsed(path)) if path.suffix == ".py" else ():
        for pattern, replacement in FIRST_WORDS:
            if found := re.match(rf"\s*({pattern})\b", str(node.value)):
                yield f"{name}:{node.lineno}: begins with {found[1]!r} -> {replacement}"


def names_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the names that a module defines or uses."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg() | ast.keyword():
                yield node.lineno, node.arg or ""
            case ast.Name():
                yield node.lineno, node.id
            case ast.Attribute():
                yield node.lineno, node.attr
            case ast.alias():
                yield node.lineno, f"{node.name} {node.asname or ''}"


def banned_words(name: str) -> list[str]:
    return sorted(NAMES.keys() & {word.lower() for word in NAME_WORD.findall(name)})


@pytest.mark.parametrize("folder", ["koel_tui", "tests", "examples", "screenshots", ".ci"])
def test_the_code_uses_standard_terms(folder: str) -> None:
    problems = [each for path in files(folder) for each in problems_of(path)]
    assert not problems, "\n".join(problems)


def test_the_names_of_tests_use_standard_terms() -> None:
    problems = [
        f"{path.relative_to(ROOT)}:{line}: {words!r} in {name} -> {replacement}"
        for path in files("tests")
        for line, name in names_in(parsed(path))
        if name.startswith("test_")
        for _, words, replacement in problems_in_text(name.removeprefix("test").replace("_", " "))
    ]
    assert not problems, "\n".join(sorted(set(problems)))


@pytest.mark.parametrize("name", [*DOCUMENTS, "tests/mutants.md", "tests/upgrade/v0_1/README.md"])
def test_the_docs_use_standard_terms(name: str) -> None:
    problems = list(problems_of(ROOT / name))
    assert not problems, "\n".join(problems)


def test_names_use_standard_terms() -> None:
    problems = [
        f"{path.relative_to(ROOT)}:{line}: {word!r} in {name!r} -> {NAMES[word]}"
        for path in files("koel_tui")
        for line, name in [(1, str(path.relative_to(ROOT))), *names_in(parsed(path))]
        for word in banned_words(name)
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "text",
    ["Begin anew.", "It lies beside\n  the file.", "It is no\n    TOML.", "Nobody reads it.",
     "Saves fail; who waits gets an error.", "None is the default.", "It must be told."],
)  # fmt: skip
def test_a_banned_word_is_found(text: str) -> None:
    assert list(problems_in_text(text))


@pytest.mark.parametrize(
    "text",
    ["Press `tab.beside`: side by side.", "There is no file.", "There\n  is no file.",
     "It is no longer open.", "None if there is none.", "A value that is None is left out.",
     "The user, who has the key, may read."],
)  # fmt: skip
def test_plain_english_is_accepted(text: str) -> None:
    assert list(problems_in_text(text)) == []


def test_a_banned_word_of_a_name_is_found() -> None:
    assert banned_words("_DeskLane") == ["desk", "lane"] and banned_words("desktop_lanes") == []
