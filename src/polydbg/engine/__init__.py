"""What is true now: events, modules, stacks, scope."""
