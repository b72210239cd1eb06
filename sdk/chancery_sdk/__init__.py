"""What services beside Chancery install: a subscriber of its public feed. It imports nothing of Chancery's own."""
