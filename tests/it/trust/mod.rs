//! Nobody in who does not belong: attacks on the whole server, one file for each kind of fault.

mod batches;
mod causes;
mod client;
mod configured;
mod files;
mod inputs;
mod names;
mod output;
mod problems;
mod settings;
