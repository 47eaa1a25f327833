"""Take a pathology away from a contender's runs, and see whether it then succeeds."""
