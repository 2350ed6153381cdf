"""What the README and docs/ say holds: examples run, command lines parse, settings are valid."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pools
import pytest

from lldm_aug.cli import CONTEXT, main
from lldm_aug.config.load import load_config

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = {
    p.relative_to(ROOT).as_posix(): p.read_text(encoding="utf-8")
    for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document, language):
    return [text for kind, text in FENCE.findall(DOCUMENTS[document]) if kind == language]


def command_lines():
    """Every command in a block without a language, as (document, words); assignments before it are left out."""
    for document in DOCUMENTS:
        for line in "".join(blocks(document, "")).splitlines():
            for part in re.split(r"\s&&\s", line):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"\w+=.*", words[0]):
                    words.pop(0)
                if words:
                    yield document, words


def ours(words):
    """The arguments of ``lldm-aug`` in a command, or None."""
    if Path(words[0]).name == "lldm-aug":
        return words[1:]
    return words[words.index("lldm_aug") + 1 :] if words[0] == "accelerate" else None


LINES = list(command_lines())
OURS = [
    pytest.param(words, id=f"{document}: {' '.join(words)}") for document, words in LINES if ours(words) is not None
]
LAUNCHES = [words for _, words in LINES if words[0] == "accelerate"]


def context(words, folder):
    """Parses arguments as the command line would; folders that they name are made to exist."""
    for word in words:
        if re.fullmatch(r"[A-Za-z][\w./]*", word) and not word.endswith(".html"):
            (folder / word).mkdir(parents=True, exist_ok=True)
        if word.endswith(".pt"):
            (folder / word).rmdir()
            (folder / word).touch()
    command = main
    while isinstance(command, click.Group):
        name, *words = words
        command = command.get_command(None, name)
        assert command is not None, f"no command {name}"
    return command.make_context(name, words, parent=click.Context(main, **CONTEXT))


def test_there_is_something_to_check():
    assert {"README.md", "docs/how-to/train.md", "docs/how-to/nnunet.md", "docs/how-to/pytorch.md"} <= {*DOCUMENTS}
    assert {"docs/tutorials/real_data.md", "docs/reference/commands/train.md"} <= {*DOCUMENTS}
    assert len(OURS) > 20
    assert LAUNCHES


@pytest.mark.parametrize("words", OURS)
def test_command_lines_parse(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = context(ours(words), tmp_path).params
    if "config" in given:
        preset = given["config"]
        load_config(ROOT / preset if preset and preset.endswith(".yaml") else preset, given["overrides"])


def test_a_wrong_command_line_would_be_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in ("generate --n 5 --out x --colour red", "train vae --data 1 --fold 0 --out x", "nnunet prepare -d 1"):
        with pytest.raises(click.UsageError):
            context(line.split(), tmp_path)


def test_accelerate_reads_the_launch_lines_and_presets(monkeypatch):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    monkeypatch.chdir(ROOT)
    for words in LAUNCHES:
        given = launch_command_parser().parse_args(words[2:])
        assert given.training_script == "lldm_aug"
        assert given.module
        assert given.config_file is None or load_config_from_file(given.config_file)
    processes = {p.stem: load_config_from_file(str(p)).num_processes for p in ROOT.glob("configs/accelerate/*.yaml")}
    assert processes == {"cpu": 1, "single_gpu": 1, "multi_gpu": 4}


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if blocks(name, "python")])
def test_python_blocks_run(document, tmp_path):
    pools.write_pool(tmp_path / "pools" / "x", cases=3)
    # MONAI and workers run as in a user's script: in a file of its own.
    script = tmp_path / "example.py"
    script.write_text("\n".join(blocks(document, "python")), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", script.name]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_files_shown_are_valid(document, tmp_path):
    for text in blocks(document, "yaml"):
        (tmp_path / "shown.yaml").write_text(text, encoding="utf-8")
        load_config(tmp_path / "shown.yaml")


def test_extras_in_the_readme_exist():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = re.findall(r'"\.\[(\w+)\]"', DOCUMENTS["README.md"])
    assert {*extras} == {"nnunet", "test"}
    assert {*extras} <= {*setup["options.extras_require"]}
