"""Places for objects under keys: an S3 bucket or a folder, behind one interface. Nothing here knows of voices."""
