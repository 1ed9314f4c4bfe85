"""What a plan's runs will take: parameters, memory, disk and time, before anything is loaded."""
