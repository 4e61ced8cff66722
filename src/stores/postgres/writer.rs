//! Writes batches by binary COPY.
