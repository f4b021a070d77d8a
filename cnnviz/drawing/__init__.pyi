from .activation_sheets import activation_sheet as activation_sheet
from .animation import encode_gif as encode_gif
from .channel_sheets import channel_sheet as channel_sheet
from .evidence_sheets import (
    evidence_comparison_sheet as evidence_comparison_sheet,
    explanation_sheet as explanation_sheet,
)
from .facts import headline as headline, join_facts as join_facts
from .feature_sheets import (
    ascent_sheet as ascent_sheet,
    class_sheet as class_sheet,
    exemplar_sheet as exemplar_sheet,
    filter_sheet as filter_sheet,
)
from .grids import grid as grid
from .index_sheets import index_sheet as index_sheet
from .kernel_sheets import kernel_sheet as kernel_sheet
from .prediction_sheets import prediction_sheet as prediction_sheet
from .projection_sheets import (
    comparison_sheet as comparison_sheet,
    projection_sheet as projection_sheet,
)
from .stage_sheets import stage_sheet as stage_sheet
from .tiles import backdrop as backdrop, plain_picture as plain_picture
from .values import (
    NOT_A_NUMBER as NOT_A_NUMBER,
    check_colormap as check_colormap,
    colorize as colorize,
    leveled as leveled,
    overlay as overlay,
    signed_stretch as signed_stretch,
    stretch as stretch,
)
