"""Writes the reference from the code: ``python docs/reference/generate.py``; a test says when it is out of date."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from lldm_aug import errors
from lldm_aug.cli import CONTEXT, main
from lldm_aug.config.schema import Config

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/reference/generate.py; edits are lost. -->\n"
PYTHON = {
    "Synthetic cases in PyTorch data": ["blending.mixin.SyntheticMixin", "blending.iterable.SyntheticIterable"],
    "Exact batches": ["blending.batch_sampler.BlendedBatchSampler", "blending.mixin.Draw"],
    "Conversions": [f"blending.convert.as_{kind}" for kind in ("dictionary", "pair", "row", "monai", "subject")],
    "Inpainting in memory": ["inpainting.inpaint.Inpaint", "inpainting.sample.SampleLayout"],
    "The generator": ["models.generator.Generator"],
    "Data sets": ["data.raw.RawDataset", "data.raw.Case", "labels.LabelSchema"],
    "Pools": ["pool.pool_dataset.PoolDataset", "blending.leakage.check_leakage"],
    "Errors": [f"errors.{name}" for name, kind in vars(errors).items() if inspect.isclass(kind)],
}
"""Title of each page, and what it shows of `lldm_aug`."""
SECTION = r"(?m)^(Args|Returns|Raises|Examples):$"
PAGE_OF = {"masks": "_more", "baselines": "_more", "train": "_training"}
LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def pages() -> dict[str, str]:
    """Text of every generated page, by its path below this folder."""
    found = [*settings_pages(), *command_pages(), *python_pages()]
    return {name: NOTE + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n" for name, text in found}


def generated_files() -> set[str]:
    """Paths of the generated pages that lie here now."""
    return {p.relative_to(HERE).as_posix() for p in HERE.rglob("*.md") if p.read_text("utf-8").startswith(NOTE)}


def settings_pages() -> Iterator[tuple[str, str]]:
    """Every setting, with its type, range, default and meaning."""
    texts = list(sections(Config(), "", {}))
    intro = "Set these in a YAML file or with `--set`: see [Train a generator](../how-to/train.md#settings)."
    for file, title in {"": "generator", "_more": "mask model and baselines", "_training": "training"}.items():
        chosen = [text for path, text in texts if PAGE_OF.get(path.split(".")[0], "") == file]
        yield f"settings{file}.md", "\n\n".join((f"# Settings: {title}", intro, *chosen))


def sections(values: BaseModel, path: str, shown: dict[tuple[type, str], tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Path and text of each section; a key that an earlier section has shown comes again only with another default."""
    kind, rows, elsewhere = type(values), [], set()
    for name in kind.model_fields:
        value = getattr(values, name)
        if isinstance(value, BaseModel):
            continue
        owner = next(base for base in reversed(kind.__mro__) if name in getattr(base, "model_fields", ()))
        place, default = shown.setdefault((owner, name), (path, value))
        if place != path:
            elsewhere.add(f"`{place}`")
        if place == path or default != value:
            said = [entries(docstring(base)[1].get("Args", "")).get(name, "") for base in kind.__mro__]
            of_what, limits = in_words(kind.model_json_schema()["properties"][name])
            rows.append((f"`{name}`", of_what, limits, f"`{plain(value)}`", next(filter(None, said), "")))
    head = [f"## `{path}`" if path else "## Top level", docstring(kind)[0]]
    others = "; these are new or have other defaults:" if rows else ", with the same defaults."
    same = [f"Has the keys of {' and '.join(sorted(elsewhere))}{others}"] if elsewhere else []
    keys = [table(("key", "type", "range", "default", "meaning"), rows)] if rows else []
    if same or keys:
        yield path, "\n\n".join([*head, *same, *keys])
    for name in kind.model_fields:
        if isinstance(value := getattr(values, name), BaseModel):
            yield from sections(value, f"{path}.{name}".lstrip("."), shown)


def in_words(schema: dict[str, Any]) -> tuple[str, str]:
    """Type and range of a value."""
    if "anyOf" in schema:
        kind, limits = in_words(next(option for option in schema["anyOf"] if option.get("type") != "null"))
        return f"{kind}, or null", limits
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return "choice", ", ".join(f"`{plain(value)}`" for value in choices)
    if schema["type"] == "array":
        inner = [in_words(entry) for entry in schema.get("prefixItems", [schema.get("items")])]
        count = len(inner) if "prefixItems" in schema else "list"
        return f"{count} of {inner[0][0]}", "; ".join(dict.fromkeys(limits for _, limits in inner if limits))
    return schema["type"], ", ".join(f"{word} {plain(schema[key])}" for key, word in LIMITS.items() if key in schema)


def plain(value: Any) -> str:
    """A value as YAML has it."""
    return json.dumps(value).replace('"', "")


def command_pages() -> Iterator[tuple[str, str]]:
    """A page for each command, and the list of them."""
    rows = []
    for name, command, context in commands(main, click.Context(main, info_name="lldm-aug", **CONTEXT)):
        file = f"commands/{re.sub('[ -]', '_', name)}.md"
        rows.append((f"[`lldm-aug {name}`]({file})", command.get_short_help_str(200)))
        usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
        options = [param for param in command.params if isinstance(param, click.Option)]
        shown = [(f"`{record[0]}`", record[1]) for option in options if (record := option.get_help_record(context))]
        text = [f"# lldm-aug {name}", f"```text\n{usage}\n```", *map(paragraph, (command.help or "").split("\n\n"))]
        yield file, "\n\n".join([*text, "## Options", table(("option", "meaning"), shown)] if shown else text)
    yield "commands.md", f"# Commands\n\nEach has `--help`.\n\n{table(('command', 'does'), rows)}"


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Name, command and context of every command that runs something."""
    if not isinstance(command, click.Group):
        yield context.command_path.partition(" ")[2], command, context
        return
    for name in command.list_commands(context):
        if inner := command.get_command(context, name):
            yield from commands(inner, click.Context(inner, info_name=name, parent=context, **CONTEXT))


def paragraph(text: str) -> str:
    """A paragraph of click's help as Markdown; what click keeps as it is (``\\b``) are examples below a title."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return "\n".join([lines[1], "", "```", *lines[2:], "```"] if lines[0] == "\b" else lines)


def python_pages() -> Iterator[tuple[str, str]]:
    """Pages of classes and functions, and the list of them."""
    rows = []
    for title, names in PYTHON.items():
        file = f"python/{title.lower().replace(' ', '_')}.md"
        modules = [name.rpartition(".") for name in names]
        things = [getattr(import_module(f"lldm_aug.{module}"), name) for module, _, name in modules]
        rows.append((f"[{title}]({file})", ", ".join(f"`{thing.__name__}`" for thing in things)))
        yield file, "\n\n".join((f"# {title}", *(shown_thing(thing) for thing in things)))
    yield "python.md", f"# Python\n\n{table(('page', 'holds'), rows)}"


def shown_thing(thing: Any, owner: str = "") -> str:
    """A class with its public methods, or a function: signature and docstring."""
    name, (text, parts) = f"{owner}{thing.__name__}", docstring(thing)
    head = f"### `{name}`" if owner else f"## `{name}`\n\nIn `{thing.__module__}`."
    shown = [head, signature(thing, name), text]
    for title, said in parts.items():
        bullets = "\n".join(f"- `{key}`: {meaning}" for key, meaning in entries(said).items())
        code = re.sub("^", "    ", said, flags=re.MULTILINE)
        shown += [f"**{title}**", {"Examples": code, "Returns": said}.get(title, bullets)]
    ours = [base for base in reversed(getattr(thing, "__mro__", ())) if base.__module__.startswith("lldm_aug")]
    members = {n: getattr(m, "__func__", m) for base in ours for n, m in vars(base).items() if not n.startswith("_")}
    methods = [shown_thing(m, f"{name}.") for m in members.values() if inspect.isfunction(m)]
    return "\n\n".join([*shown, *methods])


def signature(thing: Any, name: str) -> str:
    """A call with types and defaults, as code."""
    found, parts = inspect.signature(thing), []
    for p in found.parameters.values():
        if p.kind is p.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        default = "" if p.default is p.empty else f" = {getattr(p.default, '__name__', repr(p.default))}"
        parts += [f"{star}{p.name}: {p.annotation}{default}"] if p.name not in ("self", "cls") else []
    result = "" if inspect.isclass(thing) else f" -> {found.return_annotation}"
    line = f"{name}({', '.join(parts)}){result}"
    if len(line) > 100:
        line = "\n".join((f"{name}(", *(f"    {part}," for part in parts), f"){result}"))
    return f"```py\n{line}\n```"


def docstring(thing: Any) -> tuple[str, dict[str, str]]:
    """What a docstring says before its sections, and the text of each section, as Markdown."""
    first, *parts = re.split(SECTION, (inspect.getdoc(thing) or "").replace("``", "`"))
    return first.strip(), {name: inspect.cleandoc(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def entries(text: str) -> dict[str, str]:
    """The ``name: meaning`` entries of a section."""
    found = re.finditer(r"(?m)^\**(\S[^:\n]*): ((?:.|\n(?=[ \n]|$))*)", text)
    return {entry[1]: " ".join(entry[2].split()) for entry in found}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [[cell.replace("|", r"\|") for cell in row] for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    written = pages()
    for old in generated_files() - written.keys():
        (HERE / old).unlink()
    for page, page_text in written.items():
        (HERE / page).parent.mkdir(exist_ok=True)
        (HERE / page).write_text(page_text, encoding="utf-8")
