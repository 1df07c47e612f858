"""What is true: jobs, images, geometry, the Vision protocol and the applications.

Standard library and pydantic only. Nothing here opens a file, a socket or a model.
"""
