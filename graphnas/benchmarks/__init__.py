"""NAS-Bench-101, NAS-Bench-201 and NDS: published measurements of many architectures, and their spaces to search.

One package for each benchmark: the names of its operations (`constants`), its architectures as decisions and back
(`architecture`) and the networks that they stand for (`network`).
"""
