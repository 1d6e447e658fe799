"""What is particular to a Slurm cluster: its site values, what jobs ask for, its queue, and how jobs start there."""
