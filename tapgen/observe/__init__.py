"""Looking at a deployed environment while it works: its logs, its executions, its notices.

Everything here asks ``cloud.Services`` and ``cloud.CloudFormation`` and returns values; the
commands print them. Where things are is read off the tiers' documents and the deployed stacks.

``deployed``   the resources behind an environment's logs and state machine
``lines``      log lines from several feeds, merged and followed
``files``      a folder's log files as a feed
``readable``   one log message as text for a person
``execution``  one execution: started, followed to its end, aborted
``history``    its events as steps
``executions`` the recent ones
``notices``    what the topics announce
``reasons``    why an execution failed, in a few words
"""
