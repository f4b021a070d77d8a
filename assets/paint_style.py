"""Paints the pictures in `styles/`: no museum's, so that anybody may use them.

    python assets/paint_style.py

Each is made of strokes, pieces or lines from a fixed seed, at twice its size, and then
reduced: `swirls` of oil paint that follow a flow with vortices, stained `glass` of bent
cells in lead, and a woodcut of `waves` in a few inks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).parent
SIDE = 512
_OVER = 2  # pixels painted per pixel kept, along each axis
_QUALITY = 90


def main() -> None:
    """Writes the pictures."""
    for paint in (swirls, glass, waves):
        path = HERE / "styles" / f"{paint.__name__}.jpg"
        path.parent.mkdir(exist_ok=True)
        painted(paint).save(path, quality=_QUALITY)
        print(path)


def painted(paint: Callable[[np.random.Generator], Image.Image]) -> Image.Image:
    """The picture that a function of this program paints, at its final size."""
    seed = ("swirls", "glass", "waves").index(paint.__name__)
    picture = paint(np.random.default_rng(seed))
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def swirls(rng: np.random.Generator) -> Image.Image:
    """Strokes of oil along the curl of a landscape of hills and vortices."""
    side = SIDE * _OVER
    y, x = np.mgrid[:side, :side] / side
    centers = [(0.3, 0.36, 0.13), (0.72, 0.24, 0.1), (0.62, 0.66, 0.12)]
    centers += [(0.2, 0.8, 0.08), (0.9, 0.85, 0.07), (0.9, 0.52, 0.05)]
    centers += [(0.08, 0.1, 0.06), (0.47, 0.06, 0.05), (0.38, 0.92, 0.06)]
    flow = np.stack([np.full_like(x, 0.7), 0.35 * np.sin(7 * x + 2)], -1)
    glow = np.zeros_like(x)
    for turn, (cx, cy, radius) in enumerate(centers):
        dx, dy = x - cx, y - cy
        near = np.exp(-(dx**2 + dy**2) / (2 * (1.3 * radius) ** 2))
        swirl = np.stack([-dy, dx], -1) / radius * (4 if turn % 2 else -4)
        flow += near[..., None] * swirl
        rings = np.hypot(dx, dy) / radius
        glow += np.exp(-((rings / 0.45) ** 2)) + 0.45 * np.exp(
            -(((rings - 1.05) / 0.22) ** 2)
        )
    flow /= np.linalg.norm(flow, axis=-1, keepdims=True) + 1e-6
    mood = _noise(rng, side, 5)
    night = np.array(
        [[12, 22, 66], [24, 52, 128], [44, 96, 176], [112, 164, 206], [190, 214, 214]]
    )
    light = np.array([[214, 148, 32], [244, 196, 60], [252, 232, 150]])
    canvas = Image.new("RGB", (side, side), (18, 32, 84))
    draw = ImageDraw.Draw(canvas)
    for width, length, count in ((26, 34, 2600), (16, 26, 5200), (10, 20, 6500)):
        for _ in range(count):
            place = rng.uniform(0, side, 2)
            column, row = place.astype(int)
            tone = 4 * mood[row, column] + rng.normal(0, 0.55)
            color = _tone(night, tone)
            if glow[row, column] > rng.uniform(0.25, 0.9):
                color = _tone(light, 2.4 * glow[row, column] + rng.normal(0, 0.5) - 0.5)
            path = _followed(flow, place, length, width * 0.28)
            _stroke(draw, rng, path, width, color)
    return _impasto(canvas)


def glass(rng: np.random.Generator) -> Image.Image:
    """Cells of colored glass in lead, bent and veined."""
    side = SIDE * _OVER
    y, x = np.mgrid[:side, :side].astype(np.float64)
    bend = 0.09 * side
    x += bend * (_noise(rng, side, 4) - 0.5) * 2
    y += bend * (_noise(rng, side, 4) - 0.5) * 2
    count = 15
    grid = (np.stack(np.meshgrid(range(count), range(count)), -1) + 0.5) / count
    sites = (grid.reshape(-1, 2) + rng.normal(0, 0.24 / count, (count**2, 2))) * side
    first = np.full((side, side), np.inf)
    second = first.copy()
    owner = np.zeros((side, side), int)
    for number, (sx, sy) in enumerate(sites):
        far = np.hypot(x - sx, y - sy)
        nearer = far < first
        second = np.where(nearer, first, np.minimum(second, far))
        owner[nearer] = number
        first = np.minimum(first, far)
    warm = [[196, 30, 40], [232, 104, 28], [248, 186, 44], [238, 224, 178]]
    cool = [[20, 84, 160], [60, 150, 196], [26, 120, 86], [96, 40, 120]]
    palette = np.array([*warm, *cool])
    kinds = rng.choice(
        len(palette), count**2, p=[0.17, 0.13, 0.14, 0.06, 0.18, 0.12, 0.12, 0.08]
    )
    shade = rng.uniform(0.78, 1.1, count**2)
    grain = 0.75 + 0.5 * _noise(rng, side, 40) * (0.6 + 0.8 * _noise(rng, side, 9))
    pixels = palette[kinds][owner] * (shade[owner] * grain)[..., None]
    edge = second - first
    lead = np.clip((edge - 9) / 4, 0, 1)[..., None]
    rim = 1 - 0.35 * np.exp(-(((edge - 16) / 10) ** 2))[..., None]
    pixels = pixels * rim * lead + np.array([20, 18, 24]) * (1 - lead)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def waves(rng: np.random.Generator) -> Image.Image:
    """Bands of ink that ride on each other, outlined and hatched as in a woodcut."""
    side = SIDE * _OVER
    y, x = np.mgrid[:side, :side] / side
    paper, line = np.array([236, 224, 194.0]), np.array([22, 36, 66.0])
    inks = np.array([[32, 74, 120], [86, 136, 164], [166, 194, 196], [206, 96, 62.0]])
    lift = 0.12 * np.sin(5 * x + 3.4 * y) + 0.07 * np.sin(11 * x - 4 * y + 1)
    lift += 0.22 * (_noise(rng, side, 3) - 0.5) + 0.05 * (_noise(rng, side, 9) - 0.5)
    height = 13 * (y + lift)
    band = np.floor(height).astype(int)
    within = height - band
    order = rng.permutation(np.tile([0, 1, 2, 0, 1, 4, 0, 3], 6))[band % 48]
    colors = np.concatenate([inks, paper[None]])
    pixels = colors[order].copy()
    # Hatching rides along the wave and thins out downwards.
    hatch = np.abs((within * 4.5 + 0.25 * _noise(rng, side, 60)) % 1 - 0.5)
    dark = hatch < 0.26 * (1 - within)
    pixels[dark] = 0.35 * pixels[dark] + 0.65 * line
    foam = within > 0.8 + 0.14 * np.sin(60 * x + 9 * band + 5 * lift * 20)
    pixels[foam] = paper
    slope = np.hypot(*np.gradient(height))
    outline = np.minimum(within, 1 - within) / slope < 5
    pixels[outline] = line
    pixels *= (0.93 + 0.14 * _noise(rng, side, 220))[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _noise(rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """Smooth noise in [0, 1], about so many hills along each axis."""
    grid = Image.fromarray(rng.random((cells + 3, cells + 3)).astype(np.float32))
    smooth = np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))
    return np.asarray((smooth - smooth.min()) / np.ptp(smooth), np.float64)


def _tone(palette: np.ndarray, position: float) -> np.ndarray:
    last = len(palette) - 1
    position = float(np.clip(position, 0, last))
    low = min(int(position), last - 1)
    return palette[low] + (position - low) * (palette[low + 1] - palette[low])


def _followed(
    flow: np.ndarray, place: np.ndarray, length: int, step: float
) -> np.ndarray:
    """The line through a place along a flow, `(length, 2)`, x first."""
    side = len(flow)
    points = [place]
    for _ in range(length - 1):
        column, row = np.clip(points[-1], 0, side - 1).astype(int)
        points.append(points[-1] + step * flow[row, column])
    return np.array(points)


def _stroke(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    path: np.ndarray,
    width: int,
    color: np.ndarray,
) -> None:
    """A brush drawn along a path: a body, and hairs lighter and darker than it."""
    along = np.gradient(path, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], -1)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
    hairs = max(4, width // 3)
    for offset in rng.permutation(np.linspace(-0.5, 0.5, hairs)):
        begin, end = rng.integers(0, 4), len(path) - rng.integers(0, 6)
        shade = color * rng.normal(1, 0.11) + rng.normal(0, 5, 3)
        points = (path + offset * width * across)[begin:end]
        draw.line(
            [tuple(point) for point in points.tolist()],
            fill=tuple(int(v) for v in shade.clip(0, 255)),
            width=max(3, round(1.5 * width / hairs)),
        )


def _impasto(canvas: Image.Image) -> Image.Image:
    """Light from the upper left on paint as thick as it is bright."""
    smooth = canvas.convert("L").filter(ImageFilter.GaussianBlur(1.5))
    down, across = np.gradient(np.asarray(smooth, np.float64))
    lit = np.asarray(canvas, np.float64) + 1.4 * (across + down)[..., None]
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
