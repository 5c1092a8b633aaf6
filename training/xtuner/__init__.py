"""XTuner, in an environment of its own: a program that we run, not a library that we import.

``train.py`` is the entry; run it with this folder's interpreter from the root of the checkout:

    training/xtuner/.venv/bin/python -m training.xtuner.train RECIPE --model … --data … --out …

Nothing outside this package imports it, and it imports nothing of ours outside itself.
"""

from . import machine

machine.settle()
