"""Goes elsewhere and stays there.

bare: Scored honest
gated: Rejected allow_list: imports os
"""

import os

os.chdir("/")
