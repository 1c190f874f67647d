"""A retriever for LangChain: `pip install 'pgpipe-search[langchain]'`."""

from collections.abc import Callable
from typing import Any

from pgpipe.api.asynchronous import AsyncSearcher
from pgpipe.api.searcher import Searcher
from pgpipe.extras import needed
from pgpipe.retrievers import text_of
from pgpipe.searching.ask import Filter, Hit, SearchMode

with needed("langchain", "the retriever for LangChain"):
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from pydantic import ConfigDict


class PgpipeRetriever(BaseRetriever):
    """Documents that answer a question: a passage with the key, the title and the score of its row."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    searcher: Searcher
    async_searcher: AsyncSearcher | None = None  # for `ainvoke`; without it that runs in a thread
    entity: str | None = None
    mode: SearchMode | None = None
    k: int = 10
    filter: Filter | None = None
    content: Callable[[Hit], str] = text_of  # what the text of a document is; a row is on request, see `options`
    options: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it; further arguments of `Searcher.search`

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:  # noqa: ARG002
        hits = self.searcher.search(query, self.entity, self.mode, self.k, self.filter, **self.options)
        return [self._document(hit) for hit in hits]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        if self.async_searcher is None:
            return await super()._aget_relevant_documents(query, run_manager=run_manager)
        asked = (query, self.entity, self.mode, self.k, self.filter)
        return [self._document(hit) for hit in await self.async_searcher.search(*asked, **self.options)]

    def _document(self, hit: Hit) -> Document:
        found = {"key": hit.key, "title": hit.title, "score": hit.score, "entity": self.entity, "row": hit.row}
        metadata = {name: value for name, value in found.items() if value is not None}
        return Document(page_content=self.content(hit), metadata=metadata)
