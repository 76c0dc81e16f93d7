"""What happened: :mod:`analyze` puts the whole answer together, :mod:`judge` the verdict alone."""
