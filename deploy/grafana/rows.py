"""What the dashboard shows: a row a question, a panel an answer to it.

SELECTED stands for the labels of the nodes that were chosen. Where a fleet is one line, it is one
line a fleet, and one a node where a node can be wrong alone.
"""

from typing import Final

from deploy.grafana.panels import Panel
from deploy.grafana.rows_lookups import FINE, LOCAL, WORTH
from deploy.grafana.rows_node import CACHE, PEERS, PROCESS, PROTECTION

ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    ("Is it fine?", FINE),
    ("Is cooperation worth it?", WORTH),
    ("The sites' own nameservers", LOCAL),
    ("Peers", PEERS),
    ("Cache", CACHE),
    ("Protection", PROTECTION),
    ("Process", PROCESS),
)
