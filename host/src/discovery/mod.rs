//! Finds what is in the watched folder: the snapshot is the truth, file events are only a hint.
