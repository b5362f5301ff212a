"""Sparse attention inside vLLM: a decode step reads part of the KV cache, by a policy per request.

`selection` holds the numerics, in plain torch; `summaries` keeps what blocks are chosen by; `step`
is what all layers of a forward step have in common and `layer` what each does; `cpu` and `flash`
hand vLLM's own kernels a shorter block table; `requests` brings a request's policy to them, and
`support` says which models can have one. `docs/sparse.md` says what was measured.
"""
