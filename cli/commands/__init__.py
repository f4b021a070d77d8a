"""The commands, a module each: its options, what it computes, and what it draws."""
