"""TensorFlow's remarks: not when cnnviz starts it, unless the user wants them."""

import os
import subprocess
import sys

LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def run(code: str, level: str | None = None) -> subprocess.CompletedProcess[str]:
    """What a program says in an environment with this level, or with none."""
    environment = {name: text for name, text in os.environ.items() if name != LEVEL}
    if level is not None:
        environment[LEVEL] = level
    return subprocess.run(
        [sys.executable, "-c", f"import os, sys\n{code}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


def test_what_starts_tensorflow_says_nothing() -> None:
    code = (
        "from cnnviz.ascent import Run\n"
        "assert 'tensorflow' in sys.modules\n"
        "import numpy as np, keras, cnnviz\n"
        "layers = [keras.Input((4, 4, 1)), keras.layers.Flatten()]\n"
        "model = cnnviz.load_model(keras.Sequential(layers), encoding='unit')\n"
        "print(model.predict(np.zeros((4, 4, 1))).shape)\n"
        "print('mine', file=sys.stderr)\n"
    )
    silent = run(code)
    assert silent.stdout == "(1, 16)\n"
    assert silent.stderr == "mine\n"


def test_remarks_come_if_the_user_wants_them() -> None:
    code = f"import cnnviz; cnnviz.load_model; print(os.environ['{LEVEL}'])"
    done = run(code, "0")
    assert done.stdout == "0\n"
    assert "oneDNN" in done.stderr or "TensorFlow" in done.stderr


def test_what_needs_no_tensorflow_leaves_the_environment_alone() -> None:
    code = f"import cnnviz; cnnviz.read_image; print('{LEVEL}' in os.environ)"
    assert run(code).stdout == "False\n"


def test_what_was_held_back_is_shown_where_the_start_fails() -> None:
    code = (
        "from cnnviz.starting import without_remarks\n"
        "try:\n"
        "    with without_remarks():\n"
        "        os.write(2, b'the reason')\n"
        "        raise ImportError('no TensorFlow')\n"
        "except ImportError as error:\n"
        "    print(error)\n"
        "with without_remarks():\n"
        "    os.write(2, b' and a remark')\n"
    )
    done = run(code)
    assert done.stdout == "no TensorFlow\n"
    assert done.stderr == "the reason"


def test_a_program_without_standard_error_starts_too() -> None:
    code = "sys.stderr = None\nimport cnnviz\ncnnviz.load_model\nprint('started')"
    assert run(code).stdout == "started\n"


def test_a_tensorflow_that_runs_is_left_alone() -> None:
    code = (
        "sys.modules['tensorflow'] = sys\n"
        "from cnnviz.starting import without_remarks\n"
        "with without_remarks():\n"
        "    os.write(2, b'said')\n"
        f"print('{LEVEL}' in os.environ)\n"
    )
    done = run(code)
    assert (done.stdout, done.stderr) == ("False\n", "said")


def test_no_garbage_is_looked_for_and_the_collector_is_left_as_it_was() -> None:
    code = (
        "import gc\n"
        "from cnnviz.starting import without_remarks\n"
        "phases, frozen = [], gc.get_freeze_count() > 0\n"
        "gc.callbacks.append(lambda phase, _: phases.append(phase))\n"
        "with without_remarks():\n"
        "    del phases[:]\n"
        "    import tensorflow\n"
        "    during = list(phases)\n"
        "is_left = (gc.get_freeze_count() > 0) == frozen\n"
        "print(len(during), gc.isenabled(), is_left)\n"
    )
    assert run(code).stdout == "0 True True\n"
    assert run("import gc; gc.disable()\n" + code).stdout == "0 False True\n"
    assert run("import gc; gc.freeze()\n" + code).stdout == "0 True True\n"
