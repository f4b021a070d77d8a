from .algebra import Objective as Objective, Term as Term, custom as custom
from .pixels import (
    brightness as brightness,
    norm as norm,
    outer_brightness as outer_brightness,
    roughness as roughness,
    total_variation as total_variation,
)
from .statistics import statistics_distance as statistics_distance
from .textures import (
    feature_distance as feature_distance,
    gram_distance as gram_distance,
    gram_matrix as gram_matrix,
    softened as softened,
)
from .units import (
    channel as channel,
    direction as direction,
    diversity as diversity,
    energy as energy,
    log_odds as log_odds,
    logit as logit,
    neuron as neuron,
)
