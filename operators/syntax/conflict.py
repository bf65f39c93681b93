"""What makes two changes impossible to merge."""


class ConflictError(ValueError):
    """Two changes of one source contradict each other; the message is a sentence that says where."""
