"""What tests share: a model that does as it is told, and a system of real processes."""
