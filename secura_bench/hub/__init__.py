"""The Hugging Face Hub: asked with patience, fetched from file by file into its libraries' own cache, and checked."""
