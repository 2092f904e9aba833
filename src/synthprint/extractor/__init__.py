"""Clips in, embeddings out.

    recipe ─► checkpoint ─► runtime ─► windows ─► embedding ─► manifest_embedding

`examining` does it for files as a user brings them; `cache` has embeddings made before; `graphs` and `graph_session`
are how an ONNX graph is checked and run.
"""
