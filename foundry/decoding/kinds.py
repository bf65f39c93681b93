"""In which number formats a cache can be kept. Free of torch, because experiments and commands name them."""

KINDS = ("float32", "bfloat16", "int8", "int4")
EXACT = KINDS[0]
