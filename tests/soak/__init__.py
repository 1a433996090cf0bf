"""make soak: hostile use of the kit, bounded by a number of cases; counts deaths, hangs and growth."""
