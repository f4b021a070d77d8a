from .loop import maximize as maximize
from .parameterizations import (
    COLOURS as COLOURS,
    Fourier as Fourier,
    Maco as Maco,
    Parameterization as Parameterization,
    Pixels as Pixels,
)
from .results import (
    Ascent as Ascent,
    Callback as Callback,
    Momentum as Momentum,
    Progress as Progress,
)
from .transforms import Crops as Crops, Motion as Motion, Transform as Transform
