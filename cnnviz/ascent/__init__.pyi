from .loop import maximize as maximize
from .parameterizations import (
    COLORS as COLORS,
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
from .run import CALLBACK_EVERY as CALLBACK_EVERY, Run as Run
from .transforms import (
    STILL as STILL,
    Crops as Crops,
    Motion as Motion,
    Transform as Transform,
)
