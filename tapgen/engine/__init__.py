"""The deploy engine: what is wanted against what stands, the plan, its rounds, carrying them out.

Pure up to ``schedule``; what changes AWS does so through the protocols of ``cloud``. No module here
knows a tier, a command or boto3.
"""
