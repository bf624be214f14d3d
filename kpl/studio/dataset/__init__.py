"""The files of a data set: settings, records, lists, truth, crops, manifest, and the disk they need."""
