"""What watches a platform from outside."""
