"""Rerankers: models that read a question together with each of its best answers."""
