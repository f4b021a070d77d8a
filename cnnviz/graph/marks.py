"""Marks around activations in a traced graph, read."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import tensorflow as tf

Policy = Literal["rectify", "pass", "refuse"]
_MARK = re.compile(r"cnnviz\.(rectify|pass|refuse)\.(\w+?)(_\d+)?")


class Mark(NamedTuple):
    """What a mark in the graph says.

    Attributes:
        policy: What the deconvnet does with the activation.
        activation: Its name in Keras.
        given: The tensor that the activation was applied to.
    """

    policy: Policy
    activation: str
    given: tf.Tensor


def mark_of(op: tf.Operation) -> Mark | None:
    """The mark that an operation is, if it is one."""
    if op.type != "IdentityN":
        return None
    found = _MARK.fullmatch(op.name.rpartition("/")[2])
    if found is None:
        return None
    policy: Policy = found[1]  # type: ignore[assignment]
    return Mark(policy, found[2], op.inputs[1])
