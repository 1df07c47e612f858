"""What is done: dispatching, working and the models. Importing the package starts nothing and loads no torch."""
