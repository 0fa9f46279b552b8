"""Each problem code is seen to fire on its own example, alone, and not on the mended one."""

import re
from pathlib import Path

import pytest

from rexnet_hub.index import codes, load_index
from rexnet_hub.index.codes import read_codes
from rexnet_hub.pages.reference import render_codes

CODES = read_codes()


def _run(tmp_path, code, text):
    for name, body in {code.file: text, **code.beside}.items():
        (tmp_path / name).write_bytes(body.encode("utf-8", "surrogateescape"))
    return load_index(tmp_path / code.file)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_the_bad_example_has_that_problem_and_no_other(code, tmp_path):
    """A code's bad example fires that code once, with its severity, and nothing else."""
    problems = _run(tmp_path, code, code.bad).problems

    assert [(problem.code, problem.severity) for problem in problems] == [(code.code, code.severity)]


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_the_good_example_has_no_problem(code, tmp_path):
    """The same file mended is without any problem."""
    assert _run(tmp_path, code, code.good).problems == ()


def test_codes_are_stable_words():
    """Each code is a lower-case word with hyphens, and stands once."""
    listed = re.findall(r"^([^#\s].*):$", Path(codes.__file__).with_name("codes.yml").read_text(), re.M)
    assert listed == list(CODES)
    assert {code.severity for code in CODES.values()} == {"error", "warning"}
    assert [code for code in CODES if not re.fullmatch("[a-z]+[0-9]?(-[a-z0-9]+)+", code)] == []


def test_the_page_lists_every_code():
    """The reference page has a section for each code with both examples."""
    page = render_codes()

    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(CODES)
    assert page.count("Wrong:") == page.count("Right:") == len(CODES)
