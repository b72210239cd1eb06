"""The read side over HTTP: token checks and what people may see, from the read models alone."""
