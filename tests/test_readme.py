"""What the documentation names is there: links, files, options, parameters, benchmarks, tests."""

import argparse
import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from bench import __main__ as bench

from kpl import config

ROOT = config.ROOT
PAGES = sorted(
    page
    for page in ROOT.rglob("README.md")
    if not {".venv", "input", "output", "node_modules"} & set(page.relative_to(ROOT).parts)
)
MODELS = {model.__doc__.split(":")[0].rstrip("."): model for model in config.Parameters.__subclasses__()}
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def commands(page: Path, start: str) -> list[list[str]]:
    """The words of every command of a page that starts so, in a block or in a line of text, without comments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = [line.strip().removeprefix("!") for line in text.splitlines() if line.startswith("    ")]
    found = [line for line in blocks + re.findall(r"`([^`\n]+)`", text) if start in line.split("#")[0]]
    return [shlex.split(line[line.index(start) :].replace("...", ""), comments=True) for line in found]


def understood(main: Callable, arguments: list[str]) -> None:
    """Let a command's parser read these arguments, and nothing more happen. An unknown option is a SystemExit."""
    parse = argparse.ArgumentParser.parse_args

    def only_parse(parser: argparse.ArgumentParser, given: list[str]) -> None:
        raise KeyboardInterrupt(parse(parser, given))

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
        main(arguments)


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1500


@every_page
def test_every_relative_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith(("http://", "https://")):
            name, _, heading = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), f"{page}: {link}"
            if heading:
                titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
                assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, link


@every_page
def test_every_parameter_of_a_notebook_exists_and_has_a_possible_value(page):
    for words in commands(page, "papermill notebooks/"):
        notebook = Path(words[1]).stem
        assert (ROOT / words[1]).exists(), words
        given = {words[i + 1]: words[i + 2] for i, word in enumerate(words) if word == "-p"}
        model = MODELS[notebook]
        assert config.checked(model, config.defaults(notebook) | given), words


@every_page
def test_parameters_named_in_the_text_exist(page):
    text = page.read_text(encoding="utf-8")
    known = {name for model in MODELS.values() for name in model.model_fields}
    for given in re.findall(r"`(-p [^`]+)`", text) + re.findall(r"`([a-z_0-9]+=[a-z0-9.]+)`", text):
        names = re.findall(r"-p (\w+)", given) or [given.split("=")[0]]
        assert set(names) <= known, given


@every_page
def test_run_all_takes_the_options_that_are_shown(page, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "notebooks"))
    import run_all

    for _, *given in commands(page, "/run_all.sh"):
        what = given[0] if given else ""
        if what == "test":
            assert all((ROOT / word).exists() for word in given if word.startswith("tests/")), given
        elif what == "bench":
            if given[1:] and given[1] != "NAME":
                assert given[1] in bench.NAMES
                understood(bench.main, [str(ROOT) if word == "DIR" else word for word in given[1:]])
        elif what not in ("lab", "demo", "--help", "["):
            run_all.parse([str(ROOT) if before == "--data" else word for before, word in zip(["", *given], given)])


@every_page
def test_commands_of_kpl_take_the_options_that_are_shown(page):
    for _, _, name, *given in commands(page, "python -m kpl."):
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):
            module = importlib.import_module(f"{name}.__main__")
        if given != ["--help"] and given and hasattr(module, "main"):
            understood(module.main, [word.strip("[]") for word in given])
