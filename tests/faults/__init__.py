"""Random bad days: environments that are deployed, changed and destroyed while everything fails.

``scenario``  a bad day as a value, and how one is drawn from a seed
``witness``   what must hold whatever happens, read off the twin and not off the engine
``play``      one bad day played on the twin, and the day after on which everything comes right
``planning``  the same for a plan, which changes nothing
``rounds``    the same for exports that leave, change and move
``run``       many of them, with a table at the end: ``python tests/faults/run.py``
"""
