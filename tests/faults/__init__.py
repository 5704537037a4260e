"""Random bad days: environments that are deployed, changed and destroyed while everything fails.

``scenario``  a bad day as a value, and how one is drawn from a seed
``witness``   what must hold whatever happens, read off the twin and not off the engine
``stage``     setting one up: what stands, the trouble, where the run is cut off
``play``      one bad day of deploying, played on the twin and judged
``after``     the day after, on which everything comes right
``destroying`` and ``rivals``  days of taking down, and of runs at once
``planning``  the same for a plan, which changes nothing
``rounds``    the same for exports that leave, change and move
``over_http`` the same against the embedded AWS, with a wire that fails
``run``       many of them, with a table at the end: ``python tests/faults/run.py``
"""
