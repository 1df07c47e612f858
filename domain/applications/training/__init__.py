"""The application `training`: trains a model on a labelled set of this installation, as a job."""
