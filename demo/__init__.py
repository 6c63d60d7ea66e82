"""A relay at work, for a newcomer to watch: ``make demo``."""
