"""Passwords of 15 characters and more that are guessed first: keyboard walks, counting, famous phrases."""

_WORDS = """
1234567890123456 123456789012345 1234567890abcdef 0123456789abcdef 1234567891234567 12345678910111213
qwertyuiopasdfgh qwertyuiopasdfghjkl qwertyuiop12345 qwertyuiop123456 qwertyuiopasdfghjklzxcvbnm
1q2w3e4r5t6y7u8i 1q2w3e4r5t6y7u8i9o0p 1qaz2wsx3edc4rfv 1qaz2wsx3edc4rfv5tgb abcdefghijklmno
abcdefghijklmnopqrstuvwxyz asdfghjklqwertyuiop zaq12wsxcde34rfv passwordpassword password12345678
password123456789 password1234567 mypasswordisthis thisismypassword thisisapassword letmeinletmeinletmein
iloveyouiloveyou correcthorsebatterystaple correct-horse-battery-staple changemechangeme administrator123
administrator1234 qwertyqwertyqwerty qwerty123456789 qwerty1234567890 trustno1trustno1 welcomewelcome1
""".split()  # noqa: SIM905  # a list literal of these would be a page long

COMMON_PASSWORDS = frozenset(_WORDS)
"""In case-folded form."""
