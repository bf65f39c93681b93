"""tiktoken's named encodings, from files that are here or can be downloaded without a long wait.

tiktoken would download by itself, but without a time limit: behind a firewall that answers nothing it hangs.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from foundry.data.byte_pairs import BytePairs
from foundry.errors import UserError

SERVER = "https://openaipublic.blob.core.windows.net/"
PATIENCE = 10  # seconds without an answer


def published(name: str, files: Sequence[str]) -> BytePairs:
    """Load a named encoding of tiktoken whose `files` lie on the server, or in TIKTOKEN_CACHE_DIR.

    Raises:
        UserError: a file is not in the cache and cannot be downloaded, or is damaged.
    """
    cache = _cache()
    for file in files:
        path = cache / hashlib.sha1(f"{SERVER}{file}".encode()).hexdigest()
        if not path.exists():
            _download(SERVER + file, path, name)
    import tiktoken

    try:
        encoding = tiktoken.get_encoding(name)
    except (ValueError, OSError) as error:  # damaged, so that tiktoken tried to download it after all
        raise UserError(f"tokenizer {name}: its file in {cache} is damaged: {error}") from None
    return BytePairs(encoding._pat_str, encoding._mergeable_ranks, encoding._special_tokens)


def _cache() -> Path:
    """Return the folder where tiktoken looks: names there are hashes of addresses."""
    default = str(Path(tempfile.gettempdir(), "data-gym-cache"))
    named = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", default))
    return Path(named or default)


def _download(url: str, path: Path, name: str) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            content = answer.read()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except (OSError, http.client.HTTPException):
        raise UserError(
            f"tokenizer {name}: {url} cannot be downloaded; set TIKTOKEN_CACHE_DIR to a folder that holds it "
            f"as {path.name}, or train one of your own with tokenizer bpe"
        ) from None
