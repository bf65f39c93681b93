"""Isolation of candidates in layers: what each level promises and how it is kept. Free of torch."""
