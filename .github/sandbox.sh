#!/bin/sh
# What tests/execution needs on GitHub's Ubuntu: the sandbox, and the languages below /usr, where it looks for them.
# (The image has Go and Rust in folders of its own.) Ubuntu lets no user's program build a sandbox until it is told to.
set -eu
packages=$(python -c "from secura_bench.execution.languages import LANGUAGES; print(*(each.packages for each in LANGUAGES.values()))")
sudo apt-get update --quiet
# shellcheck disable=SC2086 # a list
sudo apt-get install --yes --quiet --no-install-recommends bubblewrap $packages
sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0
