"""What a platform tells of itself: spans, metrics, alerts; and what it never tells."""
