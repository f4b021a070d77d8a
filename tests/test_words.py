"""One spelling everywhere: the American one, which the public names have."""

import re
import subprocess
from pathlib import Path

import pytest

# Stems of words, each as it is spelled in Britain. Those of -ise end before what both
# spell alike: "exercise", "precise", "otherwise", "promise", "compromise".
BRITISH = re.compile(
    r"""\b(
    \w*(colour|behaviour|neighbour|favour)\w* | grey\w* | cent(re|red|ring|res) |
    licen(ce|ces|ced) | (label|model|signal|travel)l(ed|ing|er)\w* |
    artefact\w* | analys(e|es|ed|ing) | catalogue\w* | judgement\w* |
    defence | whilst | learnt | spelt | fulfil |
    \w*(normal|maxim|minim|optim|initial|regular|random|parameter|visual|quant|general|
        equal|summar|recogn|organ|special|serial|token|character|emphas|categor|custom|
        digit|memor|penal|priorit|stabil|standard|symbol|synchron|util|real|factor)
        is(e|es|ed|er|ers|ing|ation|ations)
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)
# What others wrote, and may not be changed.
QUOTED = ("tests/data/", "tests/zoo/", "assets/photos/README.md", "LICENSE")
TITLES = ("Linear Colour Mapping", "Example-Based Colour Transfer")
NAMES = {"imagenet_labels.txt", "test_words.py", "constraints.txt"}


def test_spelling_is_american(root: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("the files of the repository are known only in a git clone")
    found = []
    for name in listed.stdout.split("\0"):
        path = root / name
        if name.startswith(QUOTED) or path.name in NAMES or not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" in content[:4096]:
            continue
        for line in content.decode("utf-8").splitlines():
            if len(line) > 2000:  # a picture in a notebook
                continue
            for title in TITLES:
                line = line.replace(title, "")
            found += [f"{name}: {word[0]}" for word in BRITISH.finditer(line)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_british"),
    [
        ("Normalises colours to grey.", True),
        ("a neighbouring centre", True),
        ("optimisation", True),
        ("Normalizes colors to gray, otherwise precise exercise promises.", False),
        ("realise", True),
        ("a raised noise level; axis; basis; analysis", False),
        ("The labels of the model are canceled.", False),
    ],
)
def test_the_list_of_words(text: str, is_british: bool) -> None:
    assert bool(BRITISH.search(text)) == is_british
