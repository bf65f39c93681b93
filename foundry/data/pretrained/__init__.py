"""Tokenizers that come with pretrained models: `tokenizer.json` of Hugging Face, `tokenizer.model`, GGUF.

Each is read into one of two definitions: a `Definition` is of byte pairs within words, which `ByteLevel`
encodes with, a `Pieces` in the manner of SentencePiece, which `SentencePieces` does. Free of torch.
"""
