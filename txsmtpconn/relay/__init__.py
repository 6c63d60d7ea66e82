"""The relay: takes messages into a durable spool and delivers them from there."""
