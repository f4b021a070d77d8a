"""What is told of errors."""

import pytest

from cnnviz.errors import CnnvizWarning, first_line, warn


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n  first \nsecond"), "first"),
        (ValueError(""), "ValueError"),
        (KeyError("weights"), "KeyError: 'weights'"),
        (OSError(28, "No space left on device", "a.png"), "No space left on device"),
        (ValueError("\x1b[1mbold\x1b[0m"), "bold"),
        (ValueError("{{function_node __a_device_/job:b:0}} reason"), "reason"),
        (ValueError("Exception encountered when calling x\n\nreason"), "reason"),
        (ValueError("Class {...} fails.\n\nException encountered: reason"), "reason"),
        (ValueError("The call is wrong. Error encountered:\n\nreason"), "reason"),
        (
            ValueError(
                "3 objects. Example error message for object <x>:\n\n"
                "Shapes must match. Target variable: <a, value=[[1\n 2]]>"
            ),
            "Shapes must match.",
        ),
        (
            ValueError(
                "Exception encountered when calling x\n\nin user code:\n\n"
                '  File "a.py", line 1, in f\n    g()\n'
                '  File "b.py", line 2, in g\n    raise E\n\n'
                "    E: reason\n    and more"
            ),
            "E: reason",
        ),
        (ValueError("x" * 400), "x" * 297 + "..."),
    ],
)
def test_of_foreign_errors_one_line_is_told(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_code_that_is_in_no_module_is_warned() -> None:
    with pytest.warns(CnnvizWarning, match="^told$"):
        exec("warn('told')", {"warn": warn})
