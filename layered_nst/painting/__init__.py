"""Tensors in, picture out: what is painted and how well, step by step, coarse to fine.

Read ``problem`` (what is asked) and ``plan`` (the constants), then in this order:

1. ``objective``: how far a picture is from what is asked, as the sum of ``losses``, and which way
   it is to go; ``tiled`` says the same of one that is too large to be seen at once.
2. ``descent``: an ``optimizer`` that moves a ``canvas`` that way, with a guard.
3. ``levels``: one descent for each size, each from where the one before has come to.
"""
