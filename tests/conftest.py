"""What all tests rely on."""

from __future__ import annotations

import signal

# A shell without job control starts what it puts in the background deaf to Ctrl-C, and so are all that are
# started from there: the tests that interrupt a program would wait for its end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
