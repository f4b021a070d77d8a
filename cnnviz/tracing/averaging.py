"""Average pooling in place of max pooling, for as long as a trace needs it.

Gatys, Ecker and Bethge (2015) replace the maximum: gradients then reach every position
instead of one in four, and the pictures are smoother.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cnnviz.errors import ArgumentError
from cnnviz.tracing.keras_generations import Layer, Network, is_keras_2, keras_kinds
from cnnviz.tracing.naming import addresses
from cnnviz.tracing.recording import patched

# Of rectified maps the maximum of a window is about twice its mean; the layers above
# were trained on that.
GAIN = 2.0

_MAXIMUM = re.compile(r"MaxPooling(\d)D")


@contextmanager
def averaged_pooling(network: Network) -> Iterator[None]:
    """Lets max pooling layers compute means, times `GAIN`; they are then set back.

    Raises:
        ArgumentError: If the network has no max pooling layer.
    """
    patches: list[tuple[object, str, object]] = [
        (address.layer, "call", _averaging(address.layer, kind))
        for address in addresses(network)
        for kind in keras_kinds(address.layer)
        if _MAXIMUM.fullmatch(kind)
    ]
    if not patches:
        raise ArgumentError(
            f"model '{network.name}' has no max pooling layer to average in"
        )
    with patched(patches):
        yield


def _averaging(layer: Layer, kind: str) -> Callable[[Any], Any]:
    library = sys.modules["tf_keras" if is_keras_2(layer) else "keras"]
    # With a name of its own: Keras counts those that it gives.
    pool: Any = getattr(library.layers, kind.replace("Max", "Average"))(
        name="averaged",
        pool_size=layer.pool_size,
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
    )

    def averaged(inputs: Any) -> Any:
        return GAIN * pool.call(inputs)

    return averaged
