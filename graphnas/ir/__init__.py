"""The graph: types, tracing, edits, verification, names, hashes, printing and drawing.

Knows nothing of what stands above it. From the bottom: `literal` and `types` (data), `graph` and `module` (structure),
`model` (the whole), then what works on them: `keyed` and `fingerprint` (hashes), `infer` and `verify` (checks),
`rewrite` (edits), `text` and `json_form` (forms that round-trip), `draw` and `diff` (pictures), `record` and `trace`
(where models come from).
"""
