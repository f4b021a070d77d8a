from .choices import (
    layer_paths as layer_paths,
    painting_channels as painting_channels,
    painting_size as painting_size,
    usual_classes as usual_classes,
)
from .classes import (
    ClassImages as ClassImages,
    optimize_classes as optimize_classes,
    visualize_classes as visualize_classes,
)
from .dream import Dream as Dream, deep_dream as deep_dream
from .filters import (
    FilterImages as FilterImages,
    optimize_filters as optimize_filters,
    visualize_filters as visualize_filters,
)
from .style import (
    Stylized as Stylized,
    optimize_style as optimize_style,
    transfer_style as transfer_style,
)
from .style_layers import StyleLayers as StyleLayers, choose_layers as choose_layers
