"""Write the API reference: a page for each room and each module, from their docstrings.

The docstrings are plain text with formulas in it, in numpydoc's sections. They are read here with
`ast`, so that nothing is imported, and written as Markdown: what is indented stays as it is, what
is public is linked.
"""

import ast
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rooms import PACKAGES, ROOT, card

SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Notes", "Examples")
SPECIAL = re.compile(r"([\\*_<>\[\]$#|~^{}])")
NAME = re.compile(r"[A-Za-z_][\w.]*")

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Entry:
    """A public name of a module: its path, how it is written, and its docstring."""

    name: str
    signature: str
    docstring: str
    level: int


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
        yield Entry(prefix + node.name, _signature(node), docstring, level)
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            yield from _entries(inner, f"{prefix}{node.name}.", level + 1)


def _signature(node: Definition) -> str:
    """Return what stands behind `def` or `class`, on one line if it fits."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"def {node.name}({ast.unparse(node.args)}){result}"
    if len(line) <= 80:
        return line
    arguments = _split(ast.unparse(node.args))
    return f"def {node.name}(\n    " + ",\n    ".join(arguments) + f",\n){result}"


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
        self.names = names

    def target(self, word: str, module: str) -> str | None:
        """Return the label of a name as it is written in a docstring of a module."""
        for candidate in (word, f"{module}.{word}"):
            if candidate in self.names.values():
                return candidate
        return self.names.get(word)

    def text(self, text: str, module: str) -> str:
        """Return running text; what stands in backticks becomes code, or a link."""
        parts = re.split(r"(``?[^`]+``?)", text)
        return "".join(self._part(part, module) for part in parts)

    def _part(self, part: str, module: str) -> str:
        if not part.startswith("`"):
            return SPECIAL.sub(r"\\\1", part)
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
    out: list[str] = []
    for line in lines:
        if line.startswith("    ") and not (out and out[0].startswith("- ")):
            return ["```text", *lines, "```", ""]
        text = line.strip()
        bullet = text.startswith("- ")
        escaped = linker.text(text[2:] if bullet else text, module)
        out.append(f"- {escaped}" if bullet else f"{'  ' * (line[0] == ' ')}{escaped}")
    return [*out, ""]


def children(package: str, found: dict[str, Path]) -> list[str]:
    """Return the pages below a package's, in the order of its card."""
    names = (f"{package}.{name}" for name in card(package).entries)
    return [name for name in names if name in found]


def toctree(names: list[str]) -> list[str]:
    """Return what puts pages below another one."""
    return ["```{toctree}", ":hidden:", "", *names, "```", ""] if names else []


def write(folder: Path) -> list[str]:
    """Write a page for each module and a list of them; return the names of the modules."""
    found = modules()
    trees = {name: _tree(path) for name, path in found.items()}
    names: dict[str, str] = {name: name for name in found}
    for module, tree in trees.items():
        for entry in entries(tree):
            names.setdefault(entry.name, f"{module}.{entry.name}")
            names[f"{module}.{entry.name}"] = f"{module}.{entry.name}"
    linker = Linker(names)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    index = ["# API reference", "", "Every public name, from the docstrings.", ""]
    for package, about in (("yashe", "the cryptography"), ("nn", "the networks")):
        index += [f"## {package}: {about}", ""]
        for name in children(package, found):
            summary = (ast.get_docstring(trees[name]) or "").split("\n")[0]
            index.append(f"- {{doc}}`{name} <{name}>`: {linker.text(summary, name)}")
        index.append("")
    index += toctree(list(PACKAGES))
    (folder / "index.md").write_text("\n".join(index), encoding="utf-8")
    for name, tree in trees.items():
        page = [
            f"({name})=",
            f"# {name}",
            "",
            markdown(ast.get_docstring(tree) or "", linker, name),
        ]
        for entry in entries(tree):
            page += [
                f"({label(name + '.' + entry.name)})=",
                f"{'#' * entry.level} {entry.name}",
                "",
            ]
            page += ["```python", entry.signature, "```", ""]
            page.append(markdown(entry.docstring, linker, name))
        page += ["", *toctree(children(name, found))]
        (folder / f"{name}.md").write_text("\n".join(page), encoding="utf-8")
    return list(found)
