"""NAS-Bench-201 (Dong and Yang 2020, arXiv 2001.00326): all cells of six edges and five operations, three data sets."""
