//! Nobody in who does not belong: attacks on the whole server, one file for each kind of fault.

mod client;
mod configured;
mod names;
