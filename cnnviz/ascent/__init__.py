"""Gradient ascent on images: one loop, and everything else is an argument to it.

from cnnviz.ascent import maximize
from cnnviz.ascent.objectives import channel, total_variation

maximize(model, channel("conv3", range(64)) - 0.1 * total_variation()).images
"""

from __future__ import annotations

from cnnviz.ascent.loop import Ascent, Momentum, Progress, maximize

__all__ = ["Ascent", "Momentum", "Progress", "maximize"]
