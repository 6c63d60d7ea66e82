"""The sinks of our own: ``fastsink.c``, and ``pysink`` for machines without a C compiler."""
