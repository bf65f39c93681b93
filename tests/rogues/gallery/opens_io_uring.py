"""Opens the kernel's other door to sockets, which filters of system calls do not see through.

bare: Scored honest
level: landlock
"""

import ctypes

IO_URING_SETUP = 425  # on every architecture
if ctypes.CDLL(None).syscall(IO_URING_SETUP, 1, ctypes.create_string_buffer(256)) >= 0:
    raise RuntimeError("escaped: has an io_uring")
