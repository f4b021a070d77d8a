from .activation_maps import Activations as Activations
from .calibration import detect_encoding as detect_encoding
from .capture import (
    activation_batches as activation_batches,
    activations as activations,
)
from .encoding import (
    COLOR_ONLY as COLOR_ONLY,
    NAMES as NAMES,
    Encoding as Encoding,
    named_encoding as named_encoding,
)
from .forward import Scene as Scene, observe as observe
from .heads import (
    Head as Head,
    HeadInfo as HeadInfo,
    HeadKind as HeadKind,
    find_heads as find_heads,
)
from .labels import read_labels as read_labels
from .layer_tables import (
    HEADINGS as HEADINGS,
    NUMBERS as NUMBERS,
    LayerInfo as LayerInfo,
    LayerList as LayerList,
    aligned as aligned,
    layer_remarks as layer_remarks,
    layer_rows as layer_rows,
)
from .layers import list_layers as list_layers
from .learned_kernels import (
    Kernels as Kernels,
    kernel_layers as kernel_layers,
    kernels as kernels,
)
from .model import (
    ImageModel as ImageModel,
    as_model as as_model,
    check_resizable as check_resizable,
)
from .passing import passed_on as passed_on
from .predictions import (
    Prediction as Prediction,
    Predictions as Predictions,
    value_text as value_text,
)
from .preparing import names_unknown as names_unknown
from .suggesting import (
    pointwise_layers as pointwise_layers,
    suggest_layer as suggest_layer,
)
from .survey import (
    Survey as Survey,
    choose_channels as choose_channels,
    choose_head as choose_head,
    native_shape as native_shape,
    sized as sized,
    survey_layers as survey_layers,
    surveyed_shape as surveyed_shape,
    takes as takes,
)
