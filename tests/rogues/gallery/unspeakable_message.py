"""Dies of an exception with a message that no encoding can hold, on several lines, in red.

bare: Crashed ValueError
gated: Rejected instantiate: ValueError
"""

raise ValueError("\ud800 \x1b[31m\r\n\0 red")
