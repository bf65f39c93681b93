"""Ends its process as if all were well.

bare: Crashed
gated: Rejected allow_list: imports os
"""

import os

os._exit(0)
