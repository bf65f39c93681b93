"""Takes itself out of the list of modules.

bare: Scored honest
gated: Rejected allow_list: imports sys
"""

import sys

sys.modules.pop(__name__, None)
