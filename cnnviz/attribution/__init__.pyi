from .cams import CAMS as CAMS
from .channels import (
    ChannelAttribution as ChannelAttribution,
    channel_attribution as channel_attribution,
)
from .checking import check_explanation as check_explanation
from .checks import Check as Check
from .comparing import (
    RULES as RULES,
    RuleComparison as RuleComparison,
    compare_rules as compare_rules,
    projection_batches as projection_batches,
)
from .deconvolution import Projections as Projections, deconvnet as deconvnet
from .evidence import Evidence as Evidence
from .explaining import Explanation as Explanation, explain as explain
from .origins import Origin as Origin
from .stages import (
    Stage as Stage,
    Stages as Stages,
    deconvnet_stages as deconvnet_stages,
)
from .tasks import Keep as Keep, Rule as Rule, Space as Space
