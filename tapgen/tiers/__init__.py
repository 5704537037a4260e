"""The tiers: one module each, offering ``Exports`` and ``describe``.

``describe`` takes the exports it uses as typed, keyword-only arguments and returns
``Stack[Exports]``. It reads in one direction: parameters, resources, exports; helpers below, in
order of use. A tier that would fill more than a few pages keeps its parts beside it, in
``_<tier>_*.py``. A tier knows its neighbours' exports and nothing of rendering or deploying.
"""
