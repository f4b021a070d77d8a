from .attribution import (
    ChannelAttribution as ChannelAttribution,
    Check as Check,
    Explanation as Explanation,
    Projections as Projections,
    RuleComparison as RuleComparison,
    Stage as Stage,
    Stages as Stages,
    channel_attribution as channel_attribution,
    check_explanation as check_explanation,
    compare_rules as compare_rules,
    deconvnet as deconvnet,
    deconvnet_stages as deconvnet_stages,
    explain as explain,
)
from .drawing import (
    colorize as colorize,
    grid as grid,
    overlay as overlay,
    signed_stretch as signed_stretch,
    stretch as stretch,
)
from .errors import (
    ArgumentError as ArgumentError,
    CnnvizError as CnnvizError,
    CnnvizWarning as CnnvizWarning,
    ImageError as ImageError,
    LayerError as LayerError,
    ModelError as ModelError,
)
from .images import (
    ReceptiveField as ReceptiveField,
    find_images as find_images,
    read_image as read_image,
)
from .loading import load_model as load_model
from .network import (
    Activations as Activations,
    Encoding as Encoding,
    ImageModel as ImageModel,
    Kernels as Kernels,
    LayerInfo as LayerInfo,
    LayerList as LayerList,
    Predictions as Predictions,
    activation_batches as activation_batches,
    activations as activations,
    kernels as kernels,
    list_layers as list_layers,
)
from .progress import ProgressLine as ProgressLine
from .synthesis import (
    ClassImages as ClassImages,
    Dream as Dream,
    FilterImages as FilterImages,
    Stylized as Stylized,
    deep_dream as deep_dream,
    transfer_style as transfer_style,
    visualize_classes as visualize_classes,
    visualize_filters as visualize_filters,
)

__version__: str
