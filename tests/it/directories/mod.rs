//! Directories, real ones as child processes: what is read and followed becomes facts, and no fault removes anybody.

mod accounts;
mod active_directory;
pub mod active_directory_served;
mod deletions;
mod ds389;
mod faults;
mod groups;
mod histories;
mod late;
mod malformed;
mod merge;
mod names;
mod page;
mod plans;
mod read;
mod replaced;
mod resumed;
pub mod served;
mod sign_in_names;
mod spellings;
