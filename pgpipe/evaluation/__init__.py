"""Evaluation: how well searches answer questions whose right answers are known, and settings that answer better."""
