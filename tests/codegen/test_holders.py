"""Names of variables: the lowest number that is free, found without a look at every name."""

from __future__ import annotations

import random

from graphnas.codegen import names
from graphnas.codegen.holders import Holders


def test_the_fresh_name_is_the_one_that_a_look_at_every_name_gives() -> None:
    for seed in range(60):
        draw = random.Random(seed)
        last_use = {f"v{index}": index + draw.choice((0, 1, 3, 40)) for index in range(80)}
        holders = Holders(last_use, ["x"])
        for position, value in enumerate(last_use):
            if draw.random() < 0.1:
                holders.release(draw.choice(sorted(holders.names)))
            if draw.random() < 0.2:  # the user's own names may be those that a number makes
                name = draw.choice(["x2", "x", "total3", "x2_2"])
                if holders.is_free(name, position):
                    holders.bind(name, value)
                continue
            base = draw.choice(["x", "x2", "total", "x2_", "max"])
            barred = draw.sample(["x", "x3", "x2_2", "total"], draw.randrange(3))
            live = {name for name in holders.names if not holders.is_free(name, position)}
            fresh = holders.fresh(base, position, barred)
            assert fresh == names.free_name(base, live, barred)
            holders.bind(fresh, value)
