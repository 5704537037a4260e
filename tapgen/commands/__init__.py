"""The commands: parse, call, print. What they decide, they decide elsewhere."""
