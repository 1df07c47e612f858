"""DICOM: reading files, showing their frames, and taking out of them whatever says who the patient is.

Bytes in, values out: nothing here knows of jobs, tenants or stores.
"""
