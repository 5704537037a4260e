"""A state machine's interpreter with a clock of its own: half an hour passes in a millisecond.

It was written from the Amazon States Language's specification and the developer guide of Step
Functions, and shares nothing with the embedded AWS: what both say is said twice. It knows the part
of the language that the workflow uses, and refuses the rest.
"""
