"""cnnviz: see what a convolutional network does, on any Keras model.

Importing the package is instant: TensorFlow comes with the first function to need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnviz.attribution.channels import ChannelAttribution, channel_attribution
    from cnnviz.attribution.checks import Check, check_explanation
    from cnnviz.attribution.explaining import Explanation, explain
    from cnnviz.capture import activation_batches, activations
    from cnnviz.deconvolution import (
        Projections,
        Stage,
        deconvnet,
        deconvnet_stages,
    )
    from cnnviz.dream import deep_dream
    from cnnviz.encoding import Encoding
    from cnnviz.errors import (
        ArgumentError,
        CnnvizError,
        ImageError,
        LayerError,
        ModelError,
    )
    from cnnviz.features import visualize_classes, visualize_filters
    from cnnviz.grids import colorize, grid, overlay, signed_stretch, stretch
    from cnnviz.images import find_images, read_image
    from cnnviz.layers import LayerInfo, kernels, list_layers
    from cnnviz.loading import load_model
    from cnnviz.model import ImageModel
    from cnnviz.receptive_fields import ReceptiveField
    from cnnviz.style import transfer_style

__version__ = "0.1.0"

_HOMES = {
    "ArgumentError": "errors",
    "ChannelAttribution": "attribution.channels",
    "Check": "attribution.checks",
    "CnnvizError": "errors",
    "Encoding": "encoding",
    "Explanation": "attribution.explaining",
    "ImageError": "errors",
    "ImageModel": "model",
    "LayerError": "errors",
    "LayerInfo": "layers",
    "ModelError": "errors",
    "Projections": "deconvolution",
    "ReceptiveField": "receptive_fields",
    "Stage": "deconvolution",
    "activation_batches": "capture",
    "activations": "capture",
    "channel_attribution": "attribution.channels",
    "check_explanation": "attribution.checks",
    "colorize": "grids",
    "deconvnet": "deconvolution",
    "deconvnet_stages": "deconvolution",
    "deep_dream": "dream",
    "explain": "attribution.explaining",
    "find_images": "images",
    "grid": "grids",
    "kernels": "layers",
    "list_layers": "layers",
    "load_model": "loading",
    "overlay": "grids",
    "read_image": "images",
    "signed_stretch": "grids",
    "stretch": "grids",
    "transfer_style": "style",
    "visualize_classes": "features",
    "visualize_filters": "features",
}

__all__ = [
    "ArgumentError",
    "ChannelAttribution",
    "Check",
    "CnnvizError",
    "Encoding",
    "Explanation",
    "ImageError",
    "ImageModel",
    "LayerError",
    "LayerInfo",
    "ModelError",
    "Projections",
    "ReceptiveField",
    "Stage",
    "activation_batches",
    "activations",
    "channel_attribution",
    "check_explanation",
    "colorize",
    "deconvnet",
    "deconvnet_stages",
    "deep_dream",
    "explain",
    "find_images",
    "grid",
    "kernels",
    "list_layers",
    "load_model",
    "overlay",
    "read_image",
    "signed_stretch",
    "stretch",
    "transfer_style",
    "visualize_classes",
    "visualize_filters",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cnnviz' has no attribute '{name}'")
    return getattr(import_module(f"cnnviz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
