"""NAS-Bench-101 (Ying et al. 2019, arXiv 1902.09635): all small graphs of three operations, trained on CIFAR-10."""
