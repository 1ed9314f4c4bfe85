"""``python -m secura_bench`` is the command line, for launchers that start a module (torchrun)."""

from secura_bench.cli.main import main

if __name__ == "__main__":
    main()
