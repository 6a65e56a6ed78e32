"""Source that people would keep: from `ir.Model` to a file of plain PyTorch.

    structure ──▶ constructor, forward ──▶ emit ──▶ load
    (classes)     (libcst nodes)          (text)    (file, module)

The only place of graphnas that uses libcst.
"""

from graphnas.codegen.emit import clear_cache, to_source
from graphnas.codegen.load import save, to_module
from graphnas.errors import CodegenError

__all__ = ["CodegenError", "clear_cache", "save", "to_module", "to_source"]
