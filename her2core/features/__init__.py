"""Embeddings of frozen networks, computed once and stored."""
