from .comparing import (
    RULES as RULES,
    compare_rules as compare_rules,
    projection_batches as projection_batches,
)
from .deconvolution import (
    Projections as Projections,
    Stage as Stage,
    deconvnet as deconvnet,
    deconvnet_stages as deconvnet_stages,
)
from .projecting import Keep as Keep, Rule as Rule, Space as Space
