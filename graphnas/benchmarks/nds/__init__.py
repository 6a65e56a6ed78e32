"""NDS (Radosavovic et al. 2019, arXiv 1905.13214): samples of the design spaces of well-known networks."""
