"""Call numbers: which call of a layer a run makes, in the order of the code.

Graphs run their branches in an order of their own: of one layer on two inputs often the
second call first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cnnviz.tracing.keras_generations import (
    Layer,
    Network,
    children,
    everything,
    graph_nodes,
    is_layer,
    node_layer,
)


class _Runs(NamedTuple):
    """What one run of a caller makes of a layer.

    Attributes:
        caller: The layer or model that calls it; None for the network.
        numbers: The number of each of its calls, as they run.
    """

    caller: Layer | None
    numbers: list[int]


class CallNumbers:
    """Which call of a layer a run of the network makes, in the order of its code.

    The order of calls in a graph is that in which its nodes were made. Of layers that
    no graph tells of, as those in code of a user's class, it is that in which they run;
    how often they do in one run is only known when it has ended.

    Args:
        network: A Keras model.
        count: Runs the network once and returns how often each layer was called, by
            its id. Asked for where calls of what no graph tells of change places.
    """

    def __init__(
        self, network: Network, count: Callable[[], Mapping[int, int]]
    ) -> None:
        self._runs: dict[int, _Runs] = {}  # by the id of a layer
        shared: set[int] = set()
        moved: list[Layer] = []
        for container in everything(network):
            ran: dict[int, list[Any]] = {}
            for node in graph_nodes(container):
                ran.setdefault(id(node_layer(node)), []).append(node)
            for own, nodes in ran.items():
                if own in self._runs:
                    shared.add(own)
                layer = node_layer(nodes[0])
                written = {id(node): i for i, node in enumerate(layer._inbound_nodes)}
                # A graph that was built for another input has nodes of its own.
                places = [written.get(id(node), i) for i, node in enumerate(nodes)]
                numbers = [1 + sorted(places).index(place) for place in places]
                caller = None if container is network else container
                self._runs[own] = _Runs(caller, numbers)
                if numbers != sorted(numbers) and not _is_told(layer):
                    moved.append(layer)
        # Nothing says which of several graphs comes first.
        for own in shared:
            del self._runs[own]
        if moved:
            self._look_inside(network, moved, count())

    def _look_inside(
        self, network: Network, moved: list[Layer], counts: Mapping[int, int]
    ) -> None:
        """Lets calls change places with those of the layer that makes them."""
        holders = Counter(id(c) for each in everything(network) for c in children(each))
        # What is inside of two of them goes with the inner one.
        for outer in sorted(moved, key=lambda layer: len(everything(layer))):
            runs = max(counts.get(id(outer), 0), 1)
            for layer in everything(outer)[1:]:
                calls = -(-counts.get(id(layer), 0) // runs)
                if calls and holders[id(layer)] == 1:
                    inside = _Runs(outer, [*range(1, calls + 1)])
                    self._runs.setdefault(id(layer), inside)

    def __call__(self, layer: Layer, made: int) -> int:
        """The number of a call from 1 on.

        Args:
            layer: The layer.
            made: How many calls of it the run has made, with this one.
        """
        caller, numbers = self._runs.get(id(layer), (None, [1]))
        runs, within = divmod(made - 1, len(numbers))
        if caller is not None:
            runs = self(caller, runs + 1) - 1
        return runs * len(numbers) + numbers[within]


def _is_told(layer: Layer) -> bool:
    """Whether graphs tell of all layers in a layer when they run."""
    if not is_layer(layer) or not (inside := children(layer)):
        return True
    return bool(graph_nodes(layer)) and all(map(_is_told, inside))
