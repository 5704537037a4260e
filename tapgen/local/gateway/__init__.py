"""The API of a rendered template, served on this machine by the code that is deployed.

Whose part is whose. The embedded AWS keeps what it keeps well: stacks, their outputs and exports,
the API key and its value, the secrets and their passwords, buckets, topics, the workflow. It serves
APIs too, but validates no request, runs a function with its own interpreter and takes 60 ms a
call; so here are

- ``description``  an API as its template has it: routes, models, keys, plans (by ``reading``)
- ``service``      one request through it: key, limits, validation, integration, answer, log line
- ``refusals``     what API Gateway answers by itself, and how a template rewords it
- ``limits``, ``validation``, ``proxy``, ``variables``, ``turn``  what ``service`` goes by
- ``listener``     HTTP on 127.0.0.1
- ``runtime``      Lambda: an ``environment`` at a time, each a process that runs AWS's own client
                   (``execution_process``) against a ``runtime_api``, on code as ``unpacked``
- ``databases``    PostgreSQL and Redis of ``tapgen.local.data`` in the place of RDS and ElastiCache
- ``laptop``       all of it together

Nothing here knows our paths: another template gives another API. What a template may say and this
cannot do (VTL, authorizers, HTTP integrations) is refused when the template is read.

Not kept: the limit on the size of all headers (10 KB), compression, caching, WAF, the difference
between a stage and what was last deployed to it, quotas beyond the life of the process.
"""
