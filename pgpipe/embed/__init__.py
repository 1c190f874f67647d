"""Embedding: the model, and the worker that keeps the store fresh."""
