"""A score per image, with arithmetic: what to maximize, and what to explain."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
