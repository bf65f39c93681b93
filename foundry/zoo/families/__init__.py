"""What Hugging Face's files mean for the seed models, and the reverse.

A module each, named as the seed model, with the `MODEL_TYPES` that it knows; `reads(config)`, whether a
config.json of these is for it, and `model_args(config)`; `config(model_args)`, None where they have no such
model; and `theirs(weights)`, tensors by their names. Needs no torch.
"""
