"""Write the API reference: a page for each room and each module, from their docstrings.

The docstrings are plain text with formulas in it, in numpydoc's sections. They are read here with
`ast`, so that nothing is imported, and written as Markdown: what is indented stays as it is, what
is public is linked. A class lists what it inherits from other classes of ours.
"""

import ast
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rooms import PACKAGES, ROOT, card, summary

SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Notes", "Examples")
SPECIAL = re.compile(r"([\\*_<>\[\]$#|~^{}])")
# `code`, *stress* and **more of it**, but no product a * b.
MARKED = re.compile(r"(``?[^`]+``?|(?<![\w*])(?:\*|\*\*)(?![\s*])[^*`]+(?<!\s)\*{1,2}(?![\w*]))")
NAME = re.compile(r"[A-Za-z_][\w.]*")
_ESCAPED = r"\\\1"

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Entry:
    """A public name of a module: its path, how it is written, its docstring, its place."""

    name: str
    signature: str
    docstring: str
    level: int
    node: Definition

    @property
    def summary(self) -> str:
        """The first sentence of the docstring, without its full stop."""
        return " ".join(self.docstring.split("\n\n")[0].split()).removesuffix(".")


def modules() -> dict[str, Path]:
    """Every module with a docstring that is part of the packages, by its dotted name."""
    found = {}
    for package in ("yashe", "nn"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            if not parts[-1].startswith("__main__") and ast.get_docstring(_tree(path)):
                found[name] = path
    return found


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def entries(module: ast.Module) -> Iterator[Entry]:
    """Yield the public classes, methods and functions of a module that have docstrings."""
    for node in module.body:
        yield from _entries(node, "", 2)


def _entries(node: ast.AST, prefix: str, level: int) -> Iterator[Entry]:
    if not isinstance(node, Definition) or node.name.startswith("_"):
        return
    docstring = ast.get_docstring(node)
    if docstring:
        yield Entry(prefix + node.name, _signature(node, bool(prefix)), docstring, level, node)
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            yield from _entries(inner, f"{prefix}{node.name}.", level + 1)


def _signature(node: Definition, in_class: bool = False) -> str:
    """Return what stands behind `def` or `class`, on one line if it fits."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    marks = {ast.unparse(mark).split(".")[-1] for mark in node.decorator_list}
    result = ast.unparse(node.returns) if node.returns else ""
    if marks & {"property", "cached_property"}:
        return f"property {node.name}: {result}" if result else f"property {node.name}"
    kind = next((mark for mark in ("classmethod", "staticmethod") if mark in marks), "def")
    arguments = _split(ast.unparse(node.args))
    if in_class and kind != "staticmethod":
        del arguments[0]  # self, or cls
        if arguments[:1] == ["/"]:
            del arguments[0]
    result = f" -> {result}" if result else ""
    line = f"{kind} {node.name}({', '.join(arguments)}){result}"
    if len(line) <= 80:
        return line
    return f"{kind} {node.name}(\n    " + ",\n    ".join(arguments) + f",\n){result}"


def _split(arguments: str) -> list[str]:
    """Cut arguments at the commas that are outside of brackets."""
    depth, parts = 0, [""]
    for letter in arguments:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def label(path: str) -> str:
    """Return the target of a name. Sphinx ignores case there, but Ring and ring are two things."""
    return path if path == path.lower() else f"{path}-c"


class Linker:
    """Escapes text for Markdown and links the public names in it."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names, self.paths = names, set(names.values())

    def target(self, word: str, module: str) -> str | None:
        """Return the label of a name as it is written in a docstring of a module."""
        for candidate in (word, f"{module}.{word}"):
            if candidate in self.paths:
                return candidate
        methods = [path for path in self.paths if re.fullmatch(rf"{module}\.\w+\.{word}", path)]
        if len(methods) == 1:
            return methods[0]
        # A word like `images` in another module is an argument; what is a class has a capital.
        return self.names.get(word) if word[0].isupper() else None

    def text(self, text: str, module: str) -> str:
        """Return running text; what stands in backticks becomes code, or a link."""
        return "".join(self._part(part, module) for part in MARKED.split(text))

    def _part(self, part: str, module: str) -> str:
        if MARKED.fullmatch(part) and part.startswith("*"):
            stars = "*" * (len(part) - len(part.lstrip("*")))
            return f"{stars}{SPECIAL.sub(_ESCAPED, part.strip('*'))}{stars}"
        if not part.startswith("`"):
            return SPECIAL.sub(_ESCAPED, part)
        code = part.strip("`")
        found = self.target(code, module) if NAME.fullmatch(code) else None
        return f"{{ref}}`{code} <{label(found)}>`" if found else f"`{code}`"

    def type(self, text: str, module: str) -> str:
        """Return the type of a parameter, in which every public class is a link."""
        out, end = [], 0
        for match in NAME.finditer(text):
            found = self.target(match[0], module) if match[0][0].isupper() else None
            if found:
                out.append(SPECIAL.sub(r"\\\1", text[end : match.start()]))
                out.append(f"{{ref}}`{match[0]} <{label(found)}>`")
                end = match.end()
        return "".join(out) + SPECIAL.sub(r"\\\1", text[end:])


def markdown(docstring: str, linker: Linker, module: str) -> str:
    """Return a docstring as Markdown."""
    out: list[str] = []
    for title, lines in sections(docstring):
        if title:
            out += [f"**{title}**", ""]
        if title in ("Parameters", "Attributes", "Raises"):
            out += _definitions(lines, linker, module)
        else:
            out += _paragraphs(lines, linker, module)
    return "\n".join(out)


def sections(docstring: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the sections of a docstring with their titles; the first has none."""
    lines = docstring.splitlines()
    starts = [
        i
        for i, line in enumerate(lines[:-1])
        if line.strip() in SECTIONS and set(lines[i + 1].strip()) == {"-"}
    ]
    ends = [*starts, len(lines)]
    yield "", lines[: ends[0]]
    for start, end in zip(starts, ends[1:], strict=True):
        yield lines[start].strip(), lines[start + 2 : end]


def _definitions(lines: list[str], linker: Linker, module: str) -> list[str]:
    """Return "name : type" lines, each with the indented text below it, as a list."""
    out = []
    for line in lines:
        if not line.strip():
            continue
        if line[0] != " ":
            name, _, kind = line.partition(" : ")
            described = f": {linker.type(kind, module)}" if kind else ""
            out.append(f"- {linker.text(f'`{name}`', module)}{described}")
        else:
            out.append(f"  {linker.text(line.strip(), module)}")
    return [*out, ""]


def _paragraphs(lines: list[str], linker: Linker, module: str) -> list[str]:
    """Return text as paragraphs; what is indented, and examples, as they are."""
    out = []
    for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        text = block.split("\n")
        if not block.strip():
            continue
        if block.startswith(">>>"):
            out += ["```pycon", block, "```", ""]
        elif all(line.startswith("    ") for line in text):
            out += ["```text", "\n".join(line[4:] for line in text), "```", ""]
        else:
            out += _mixed(text, linker, module)
    return out


def _mixed(lines: list[str], linker: Linker, module: str) -> list[str]:
    """Return a block in which indented lines follow others: lists stay lists, code stays code."""
    items: list[str] = []
    for line in lines:
        text = line.strip()
        if line.startswith("    ") and not (items and items[0].startswith("- ")):
            return ["```text", *lines, "```", ""]
        if text.startswith("- ") or not items:
            items.append(text)
        else:
            items[-1] += f"\n{text}"
    out = []
    for item in items:
        text = linker.text(item.removeprefix("- "), module)
        out.append("- " + text.replace("\n", "\n  ") if item.startswith("- ") else text)
    return [*"\n".join(out).split("\n"), ""]


def children(package: str, found: dict[str, Path]) -> list[str]:
    """Return the pages below a package's, in the order of its card."""
    names = (f"{package}.{name}" for name in card(package).entries)
    return [name for name in names if name in found]


def toctree(names: list[str]) -> list[str]:
    """Return what puts pages below another one."""
    return ["```{toctree}", ":hidden:", "", *names, "```", ""] if names else []


class Classes:
    """The classes of all modules, and which of ours they are made from."""

    def __init__(self, trees: dict[str, ast.Module]) -> None:
        self.entries: dict[str, dict[str, Entry]] = {}  # public names, by the path of their class
        self.bases: dict[str, list[str]] = {}
        for module, tree in trees.items():
            places = {  # where the names of a module come from
                alias.asname or alias.name: f"{node.module}.{alias.name}"
                for node in tree.body
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    path = places[node.name] = f"{module}.{node.name}"
                    names = [re.sub(r"\[.*", "", ast.unparse(base)) for base in node.bases]
                    self.bases[path] = [places[name] for name in names if name in places]
                    inner = [entry for each in node.body for entry in _entries(each, "", 0)]
                    self.entries[path] = {entry.name: entry for entry in inner}

    def ancestors(self, path: str) -> list[str]:
        """Return the classes of ours that a class is made from, in the order of inheritance."""
        found: list[str] = []
        for base in self.bases.get(path, []):
            for name in [base, *self.ancestors(base)]:
                if name in found:
                    found.remove(name)  # a common ancestor stands behind all that share it
                found.append(name)
        return found

    def inherited(self, path: str, linker: Linker) -> list[str]:
        """Return what a class has from others, with links, as Markdown."""
        known, out = set(self.entries.get(path, {})), []
        for base in self.ancestors(path):
            new = {k: v for k, v in self.entries.get(base, {}).items() if k not in known}
            known |= set(new)
            if new:
                title = f"{{ref}}`{base.rpartition('.')[2]} <{label(base)}>`"
                out += [f"**Inherited from** {title}", ""]
            for name, entry in new.items():
                link = f"{{ref}}`{name} <{label(f'{base}.{name}')}>`"
                out.append(f"- {link}: {linker.text(entry.summary, base.rpartition('.')[0])}")
            out += [""] * bool(new)
        return out


def front_doors(trees: dict[str, ast.Module], linker: Linker) -> list[str]:
    """Return the list of what a user needs: the names of the packages themselves."""
    out = ["## What a user needs", "", "Names of the packages themselves.", ""]
    for package in PACKAGES:
        homes = next(
            ast.literal_eval(node.value)
            for node in trees[package].body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
        )
        for name, home in sorted(homes.items(), key=lambda item: item[0].lower()):
            entry = next(entry for entry in entries(trees[home]) if entry.name == name)
            link = f"{{ref}}`{package}.{name} <{label(f'{home}.{name}')}>`"
            out.append(f"- {link}: {linker.text(entry.summary, home)}")
        out.append("")
    return out


def write(folder: Path, *only: str) -> list[str]:
    """Write a page for each module, or for those only, and a list; return all modules' names."""
    found = modules()
    trees = {name: _tree(path) for name, path in found.items()}
    names: dict[str, str] = {name: name for name in found}
    for module, tree in trees.items():
        for entry in entries(tree):
            names.setdefault(entry.name, f"{module}.{entry.name}")
            names[f"{module}.{entry.name}"] = f"{module}.{entry.name}"
    linker, classes = Linker(names), Classes(trees)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    index = ["# API reference", "", "Every public name, from the docstrings.", ""]
    index += front_doors(trees, linker)
    for package, about in (("yashe", "the cryptography"), ("nn", "the networks")):
        index += [f"## {package}: {about}, room by room", ""]
        for room in children(package, found):
            index.append(f"- {{doc}}`{room} <{room}>`: {linker.text(summary(room), room)}")
            for name in children(room, found):
                index.append(f"  - {{doc}}`{name} <{name}>`: {linker.text(summary(name), name)}")
        index.append("")
    index += toctree(list(PACKAGES))
    (folder / "index.md").write_text("\n".join(index), encoding="utf-8")
    for name, tree in ((name, trees[name]) for name in only or trees):
        page = [
            f"({name})=",
            f"# {name}",
            "",
            markdown(ast.get_docstring(tree) or "", linker, name),
        ]
        for entry in entries(tree):
            path = f"{name}.{entry.name}"
            page += [f"({label(path)})=", f"{'#' * entry.level} {entry.name}", ""]
            page += ["```python", entry.signature, "```", ""]
            page += [markdown(entry.docstring, linker, name), ""]
            if isinstance(entry.node, ast.ClassDef):
                page += classes.inherited(path, linker)
        page += ["", *toctree(children(name, found))]
        (folder / f"{name}.md").write_text("\n".join(page), encoding="utf-8")
    return list(found)
