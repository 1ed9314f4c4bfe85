"""Settings chosen before an experiment's runs: its trials, what they came to, and which is best or learns as much."""
