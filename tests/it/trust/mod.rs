//! Nobody in who does not belong: attacks on the whole server, one file for each kind of fault.

mod at_rest;
mod authority;
mod batches;
mod bounds;
mod causes;
mod client;
mod configured;
mod ends;
mod enumeration;
mod files;
mod helpers_and_helped;
mod inputs;
mod names;
mod output;
mod price;
mod problems;
mod reload;
mod settings;
mod signed;
mod sockets;
mod sources;
mod tls;
