"""The embedded AWS: a whole account on this machine, for ``--local``, the demo and the tests.

It is a launcher around exactly one version of ministack, run as a process of its own that listens
on loopback only. Two sides, and the first never loads the second:

``lease.py`` is the side of the commands. A command takes a lease for as long as it needs the
embedded AWS; the first lease starts the server, the last one to go lets it save and end. It needs
the standard library only.

``server.py`` and everything else here is the side of the server. It adds the resource types that
ministack lacks (``resources/``), the rules of CloudFormation that it does not enforce
(``exports.py``, ``rules.py``, ``replacement.py``, ``stack_events.py``), tasks that run as processes
(``tasks/``) for executions that go as those of Step Functions (``executions/``), faults for tests
(``faults.py``), and the state that outlives the process (``state.py``). ``reach.py`` is the one
way into ministack.

``data*.py`` are apart from both: a real PostgreSQL and a real Redis, for the API's own tests.

The rest of tapgen sees a URL and a pair of keys, as it would see of any other AWS.
"""
