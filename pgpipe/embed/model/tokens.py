"""Tokens: counting those of texts, and splitting texts that have too many."""

from functools import lru_cache
from typing import Any


class Tokens:
    """A model's tokenizer, without the limits that it has for encoding."""

    def __init__(self, tokenizer: Any, limit: int, prompt: str) -> None:  # noqa: ANN401 - a class of the tokenizers library
        """Take a copy of the tokenizer.

        Args:
            tokenizer: of the library tokenizers.
            limit: tokens that the model reads, special ones included.
            prompt: put before each text.
        """
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        special = self._tokenizer.num_special_tokens_to_add(False)
        self.room = limit - special - len(self._tokenizer.encode(prompt, add_special_tokens=False).ids)

    def count(self, texts: list[str]) -> list[int]:
        """Tokens of each text, as many as it has."""
        return [len(e.ids) for e in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def split(self, text: str, size: int | None = None, overlap: int = 0) -> list[tuple[int, int]]:
        """Ranges of the pieces: the whole text where it fits, else parts that end where paragraphs or sentences do."""
        room = min(size or self.room, self.room)
        if len(text) <= room:  # a token has at least one character
            return [(0, len(text))]
        chunks = self._splitter(room, overlap).chunk_indices(text)
        return [(start, start + len(piece)) for start, piece in chunks] or [(0, len(text))]

    @lru_cache(maxsize=16)  # noqa: B019 - a model lives as long as its process
    def _splitter(self, room: int, overlap: int) -> Any:  # noqa: ANN401 - of a library without types
        from semantic_text_splitter import TextSplitter

        return TextSplitter.from_huggingface_tokenizer(self._tokenizer, room, overlap)
