"""What is said while runs go on: to a person, to a machine, to other commands, to nobody."""
