"""Asks a deployed environment whether it is what the document says, and wired as described.

``environment``  the stacks as they stand, beside the documents that describe them
``questions``    asking AWS, each question once
``result``       checks, facts, outcomes
``network``, ``data``, ``serving``, ``notices``, ``workflow``  the document's groups of checks
``wiring``, ``keeping``  what joins the tiers, and what holds across them
``run``          all of it in order
``smoke``        the checks that do something: a request, an execution, a notice
``report``       results as a table, as JSON, as JUnit's XML

Everything but ``smoke`` only asks.
"""
