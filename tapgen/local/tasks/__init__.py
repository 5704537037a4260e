"""Tasks of ECS that really run: each container is a process of this machine.

``programs.py`` makes of a task definition and its overrides what is to be run; ``volumes.py``
knows the folders that stand for file systems; ``processes.py`` runs a program and passes its
output on, and ``leftovers.py`` ends what a crash left; ``service.py`` puts it behind RunTask and
StopTask. ``aws_program.py`` is what the
processes find under the name ``aws``.

No image is pulled and nothing is walled off: what a container may not do on AWS it may do here,
as the user who runs the embedded AWS. ``resources/not_kept.py`` lists it.
"""
