"""Health: weights that no longer are numbers."""

from __future__ import annotations

import numpy as np

from cnnviz.network.keras_generations import Network
from cnnviz.network.naming import addresses


def layers_not_finite(network: Network) -> list[str]:
    """The paths of the innermost layers that hold NaN or infinite weights."""
    found = [
        address.path
        for address in addresses(network)
        if not all(
            np.isfinite(np.asarray(weight)).all()
            for weight in address.layer.get_weights()
            if np.asarray(weight).dtype.kind == "f"
        )
    ]
    return [path for path in found if not any(p.startswith(f"{path}/") for p in found)]
