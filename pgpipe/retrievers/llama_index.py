"""A retriever for LlamaIndex: `pip install 'pgpipe-search[llama-index]'`."""

import json
from collections.abc import Callable
from typing import Any

from pgpipe.api.asynchronous import AsyncSearcher
from pgpipe.api.searcher import Searcher
from pgpipe.extras import needed
from pgpipe.retrievers import text_of
from pgpipe.searching.ask import Filter, Hit, SearchMode

with needed("llama-index", "the retriever for LlamaIndex"):
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode


class PgpipeRetriever(BaseRetriever):
    """Nodes that answer a question: a passage with the key, the title and the score of its row."""

    def __init__(
        self,
        searcher: Searcher,
        entity: str | None = None,
        mode: SearchMode | None = None,
        k: int = 10,
        filter: Filter | None = None,  # noqa: A002 - the word of the search
        *,
        async_searcher: AsyncSearcher | None = None,
        content: Callable[[Hit], str] = text_of,
        **options: Any,  # noqa: ANN401 - of the search
    ) -> None:
        """Prepare.

        Args:
            searcher: that is asked.
            entity: as in `Searcher.search`.
            mode: as there.
            k: as there.
            filter: as there.
            async_searcher: for `aretrieve`; without it that runs in a thread.
            content: what the text of a node is.
            options: further ones of `Searcher.search`.
        """
        super().__init__()
        self._searcher, self._async_searcher, self._content = searcher, async_searcher, content
        self._asked = (entity, mode, k, filter)
        self._options = options

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._nodes(self._searcher.search(query_bundle.query_str, *self._asked, **self._options))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self._async_searcher is None:
            return await super()._aretrieve(query_bundle)
        return self._nodes(await self._async_searcher.search(query_bundle.query_str, *self._asked, **self._options))

    def _nodes(self, hits: list[Hit]) -> list[NodeWithScore]:
        return [NodeWithScore(node=self._node(hit), score=hit.score) for hit in hits]

    def _node(self, hit: Hit) -> TextNode:
        entity = self._asked[0]
        found = {"key": hit.key, "title": hit.title, "entity": entity, "row": hit.row}
        metadata = {name: value for name, value in found.items() if value is not None}
        name = f"{entity or ''}{json.dumps(hit.key, sort_keys=True, default=str)}"
        return TextNode(id_=name, text=self._content(hit), metadata=metadata)
