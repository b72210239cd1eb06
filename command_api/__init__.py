"""The write side over HTTP: commands in, commits out. It reads nothing but the log's own decision state."""
