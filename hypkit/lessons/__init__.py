"""What each lesson asks, judges and shows."""
