"""The library's hints in the words of the command line: one table."""

from __future__ import annotations

import re
from collections.abc import Callable


def _named_layers(match: re.Match[str]) -> str:
    if match[1] == "...":
        return "--layer NAME"
    names = match[1].replace("'", "").split(", ")
    return " ".join(f"--layer {name}" for name in names)


def _custom_object(match: re.Match[str]) -> str:
    """The option for a custom object, and how one is named that Python cannot name."""
    option = "--trusted --custom-objects MODULE.py"
    if match[1].isidentifier():
        return option
    return f"{option}, which says custom_objects = {{'{match[1]}': ...}}"


def _option(match: re.Match[str]) -> str:
    return f"--{match[1].replace('_', '-')} is"


FLAGS: dict[str, str | Callable[[re.Match[str]], str]] = {
    r"(?:cnnviz\.)?load_model\(path\)": "cnnviz COMMAND FILE",
    r"(?:cnnviz\.)?load_model\(\.\.\., labels=\.\.\.\)": "--labels FILE",
    r"(?:cnnviz\.)?load_model\(\.\.\., trusted=True\)": "--trusted",
    r"(?<= )custom_objects=\{'([^']*)': \.\.\.\}": _custom_object,
    r"(?<= )architecture='([^']+)'": r"--architecture \1",
    r"(?<=[\" ])head='([^']+)'": r"--head \1",
    r"(?:cnnviz\.)?list_layers\(model\)": "cnnviz layers MODEL",
    r"(?:cnnviz\.)?(?:activations|deconvnet|explain)\(\.\.\.\)": "--raw",
    r"load_model\(\.\.\.\)\.hold\(\{name: array\}\)": "--hold NAME=FILE",
    r"by name, \{name: array, \.\.\.\}": "by name, --input NAME=IMAGE",
    r"cnnviz\.synthesis\.optimize_style\(.*\)": (
        "--style-layer NAME, --content-layer NAME"
    ),
    r"name others, such as classes=\[0, 1\]": (
        "--class draws others, and an IMAGE those it is taken for"
    ),
    r"(?<=you want: )layers=\[([^\]]+)\]": _named_layers,
    r"(?<=one by one: )layers=\[([^\]]+)\]": _named_layers,
    r" Or, if it takes several arrays, give a list of arrays\.": "",
    r"size=\(height, width\)": "--size HEIGHTxWIDTH",
    r"load_model\(\.\.\., encoding='\.\.\.'\)": "--encoding NAME",
    r"load_model\(\.\.\., encoding='(\w+)'\)": r"--encoding \1",
    r"deconvnet\(\.\.\., rule='(\w+)'\)": r"--rule \1",
    r"the method '(hirescam|integrated|occlusion|gradient)'": r"--method \1",
    r"the rule '(guided)'": r"--rule \1",
    r"\bwithout a path\b": "without --path",
    r"; for channels name any layer": ", without --maps",
    r"\bread \.values, which need none\b": "leave out --maps",
    r"^style_weights is\b": "--style-weight is",
    r"^(content_weight|keep_colors|style_scale|total_variation) is\b": _option,
    r"^(region|labels|precision|against|size|stride) is\b": r"--\1 is",
    r"^region (has|holds)\b": r"--region \1",
    r"^Use weights=None for\b": "Use --weights none for",
    r"leave out tf\.config\.experimental\.enable_op_determinism\(\)": (
        "use --any-order"
    ),
    r"\ba smaller batch_size\b": "a smaller --batch-size",
}
"""By pattern what the command line says in place of Python. What might be part of a
path counts where a message begins with it, or behind its words."""


def in_flags(text: str) -> str:
    """A message of the library in the words of the command line."""
    for python, flag in FLAGS.items():
        text = re.sub(python, flag, text)
    return text
