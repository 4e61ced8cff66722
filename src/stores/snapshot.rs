//! Registrations kept on the disk, for a start while no store can be asked.
