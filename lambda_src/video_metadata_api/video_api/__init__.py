"""The video metadata API: a Lambda function behind a REST API, on PostgreSQL and Redis.

``handler`` answers requests, ``migrate`` brings the database's schema up. The package is pure
Python, so the bytes that are tested anywhere are the bytes that run on arm64. What the API takes
and gives is described once, in ``api_model.json``; the template of the API reads the same file.
"""
