"""Executions of state machines as Step Functions runs them.

The emulator's interpreter knows the language: paths, intrinsic functions, choices, branches. What
it does not do as AWS does is here: how an execution starts (``starting.py``), goes on and ends
(``engine.py``), and how long it may take; what is tried again and when (``attempts.py``); the tasks
of ECS that it waits for and the messages of SNS (``calls.py``); what its history says
(``running.py``) and what of that is logged (``execution_log.py``).

Its time is ``tapgen.local.pace``'s.
"""
