"""The SECURA paper's tables: their shapes and settings, the published numbers, and this bench's beside."""
