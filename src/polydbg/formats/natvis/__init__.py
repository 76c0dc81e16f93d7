"""NatVis: views of types as XML. Reading only; the engine applies them."""
