"""The files of the public data sets: what there is, downloading, checking and unpacking it."""
