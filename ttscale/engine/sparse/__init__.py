"""Sparse attention inside vLLM: a decode step reads part of the KV cache, by a policy per request.

`selection` holds the numerics, in plain torch; `step` what is alike in all layers of a forward step;
`cpu` and `flash` hand vLLM's own kernels a shorter block table; `requests` brings a request's policy
to them. `docs/sparse.md` says what was measured.
"""
