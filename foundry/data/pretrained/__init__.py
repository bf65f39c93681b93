"""Tokenizers that come with pretrained models: `tokenizer.json` of Hugging Face, and what a GGUF file holds.

Both are read into one `Definition`, which `Pretrained` encodes with. Free of torch.
"""
