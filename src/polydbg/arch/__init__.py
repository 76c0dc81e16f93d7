"""Tables about CPUs and the text of their instructions."""
