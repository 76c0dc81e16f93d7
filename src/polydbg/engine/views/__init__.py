"""Views of types: NatVis applied to values."""
