"""A believable service provider, made up from a seed: the same rows each time, for trials and measurements."""
