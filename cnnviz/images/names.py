"""File names: safe on every system, told apart, short enough."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cnnviz.arguments import counts

_NAME_BYTES = 100
_HASH_HEX = 10
_HASHED = re.compile(rf"-[0-9a-f]{{{_HASH_HEX}}}\Z")
_UNSAFE = frozenset('<>:"/\\|?*')
# Windows reserves these also with an extension, and with superscript digits.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\.|\Z)",
    re.IGNORECASE,
)


def safe_name(text: str, most: int = _NAME_BYTES) -> str:
    """A file name, without suffix, that stands for `text` and for no other text.

    Slashes become `--`; everything else that is printable and legal on the common file
    systems stays, in Unicode's composed form. Where more had to change, or the name
    would be ambiguous, reserved or too long, a hash of `text` is appended.

    Args:
        text: A layer path, the stem of an image, or anything else.
        most: How many bytes the name may have, 12 or more.

    Returns:
        The name: never empty, `.` or `..`, without separators, at most
        `most` bytes. Two texts have different names, though perhaps only in upper and
        lower case; see `distinct_names`.

    Raises:
        ArgumentError: If `most` leaves no room for a hash.
    """
    counts(2 + _HASH_HEX, most=most)
    name = unicodedata.normalize("NFC", text).replace("/", "--")
    name = "".join(c if c.isprintable() and c not in _UNSAFE else "_" for c in name)
    if name != name.strip(" .-"):
        name = f"_{name.strip(' .-')}"
    if _RESERVED.match(name):
        name = f"_{name}"
    plain = (
        name != ""
        and name.replace("--", "/") == text
        and not _HASHED.search(name)
        and len(name.encode()) <= most
    )
    return name if plain else _hashed(name, text, most)


def _hashed(name: str, text: str, most: int = _NAME_BYTES) -> str:
    digest = hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=_HASH_HEX // 2
    ).hexdigest()
    cut = name.encode()[: most - _HASH_HEX - 1].decode(errors="ignore")
    return f"{cut or '_'}-{digest}"


def distinct_names(texts: Sequence[str]) -> list[str]:
    """Safe names that differ also where upper and lower case are the same.

    Args:
        texts: What the names stand for. Equal texts have equal names.

    Returns:
        `safe_name` of each text, with a hash of the text appended to those that a file
        system without case would take for one another.
    """
    return _distinct(texts, texts)


def _distinct(texts: Sequence[str], identities: Sequence[str]) -> list[str]:
    """Names for texts, which tell apart what has different identities."""
    names = {
        identity: safe_name(text)
        for identity, text in zip(identities, texts, strict=True)
    }
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for identity, name in names.items():
        alike[unicodedata.normalize("NFKC", name).casefold()].append(identity)
    for group in alike.values():
        if len(group) > 1:
            names.update((each, _hashed(names[each], each)) for each in group)
    return [names[identity] for identity in identities]


def stems(paths: Sequence[str | Path]) -> list[str]:
    """A short, safe and distinct name for each image of a run.

    Args:
        paths: The images, as from `find_images`. The same path has the same name.

    Returns:
        The stem where it is enough (`cat`); for files that share it the name
        (`cat.jpg`, `cat.png`), or as many folders as tell them apart (`a--cat`).
    """
    return joined_stems([[path] for path in paths])


def joined_stems(examples: Sequence[Sequence[str | Path]]) -> list[str]:
    """A short, safe and distinct name for each example of a run.

    Args:
        examples: For each of them its files, one for each input of a network. The same
            files have the same name.

    Returns:
        The stem of the first file, see `stems`; of examples that share the file, those
        of all their files (`photo--mask1`, `photo--mask2`).
    """
    rows = [[os.path.abspath(path) for path in paths] for paths in examples]  # noqa: PTH100
    columns = [_short(column) for column in zip(*rows, strict=True)]
    others: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for first, *rest in rows:
        others[first].add(tuple(rest))
    counts = [1 if len(others[row[0]]) == 1 else len(row) for row in rows]
    texts = [
        "/".join(names[:count])
        for names, count in zip(zip(*columns, strict=True), counts, strict=True)
    ]
    told = ["\0".join(row[:count]) for row, count in zip(rows, counts, strict=True)]
    return _distinct(texts, told)


def _short(paths: Sequence[str]) -> list[str]:
    """What tells files apart in as few words as can be; see `stems`."""
    absolute = [Path(path) for path in paths]
    chosen: dict[Path, str] = {}
    groups: defaultdict[str, set[Path]] = defaultdict(set)
    for path in absolute:
        groups[path.stem.casefold()].add(path)
    for group in groups.values():
        chosen.update(_told_apart(group))
    return [chosen[path] for path in absolute]


def _told_apart(group: set[Path]) -> dict[Path, str]:
    deepest = max(len(path.parts) for path in group)
    names: dict[Path, str] = {}
    for folders in range(deepest):
        for whole in (False, True):
            names = {
                path: "/".join(
                    [
                        *path.parts[max(1, len(path.parts) - 1 - folders) : -1],
                        path.name if whole else path.stem,
                    ]
                )
                for path in group
            }
            if len({name.casefold() for name in names.values()}) == len(group):
                return names
    return names
