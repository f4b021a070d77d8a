import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from cnnviz import ArgumentError
from cnnviz.drawing import encode_gif


def sheet(level: int, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.full((20, 30), level, np.uint8)).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_frames_and_times_come_back(mode: str) -> None:
    data = encode_gif([sheet(n, mode) for n in (0, 128, 255)], seconds=0.2)
    with Image.open(io.BytesIO(data)) as gif:
        assert (gif.format, gif.size) == ("GIF", (30, 20))
        assert sum(1 for _ in ImageSequence.Iterator(gif)) == 3
        assert gif.info["loop"] == 0
        times = []
        for frame in range(3):
            gif.seek(frame)
            times.append(gif.info["duration"])
    assert times == [200, 200, 1500]


def test_the_last_frame_keeps_its_colors() -> None:
    colors = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    last = Image.fromarray(colors)
    data = encode_gif([Image.new("RGB", (8, 8)), last])
    with Image.open(io.BytesIO(data)) as gif:
        gif.seek(1)
        np.testing.assert_allclose(np.asarray(gif.convert("RGB")), colors, atol=8)


def test_what_cannot_be_animated_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no sheet"):
        encode_gif([])
    with pytest.raises(ArgumentError, match="20x10 and 30x20"):
        encode_gif([sheet(0), Image.new("RGB", (20, 10))])
    with pytest.raises(ArgumentError, match="seconds is 0"):
        encode_gif([sheet(0)], seconds=0)
    with pytest.raises(ArgumentError, match=r"sheets is \[0, 1\]; expected pictures"):
        encode_gif([sheet(0), [0, 1]])  # type: ignore[list-item]
    with pytest.raises(ArgumentError, match="expected a list of pictures"):
        encode_gif(sheet(0))  # type: ignore[arg-type]
